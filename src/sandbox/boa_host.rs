//! What Boa's scripts may ask of the server, and what is put in the place of Boa's own functions.

use std::rc::Rc;

use boa_engine::error::{JsError, JsNativeError};
use boa_engine::object::{FunctionObjectBuilder, JsObject, ObjectInitializer};
use boa_engine::{Context, JsArgs, JsResult, JsString, JsValue, NativeFunction, js_string};

use super::boa::{check_syntax, with_sound_lengths};
use super::boa_errors::{catchable, describe, stop};
use super::compile::{CompileError, compile_by};
use super::e4x::modernize;
use super::engine::Failure;
use super::host::Host;

/// The host as the context keeps it.
struct Asked(Rc<Host>);

/// Makes the object that is described in `prelude/base.js`.
pub(super) fn host_object(context: &mut Context, host: &Rc<Host>) -> JsObject {
    context.insert_data(Asked(Rc::clone(host)));
    let mut object = ObjectInitializer::new(context);
    let mut add = |name: &str, length, function: fn(&JsValue, &[JsValue], &mut Context) -> _| {
        object.function(NativeFunction::from_fn_ptr(function), JsString::from(name), length);
    };
    add("log", 1, log);
    add("compare", 2, compare);
    add("isOver", 0, is_over);
    add("step", 0, step);
    add("nextRow", 0, next_row);
    add("start", 1, start);
    add("send", 1, send);
    add("compile", 2, compile);
    object.build()
}

/// The host, unless the script must stop.
fn host(context: &Context) -> JsResult<Rc<Host>> {
    let host = context.get_data::<Asked>().map(|asked| Rc::clone(&asked.0));
    host.filter(|host| !host.must_stop()).ok_or_else(stop)
}

fn text(arguments: &[JsValue], index: usize, context: &mut Context) -> JsResult<String> {
    Ok(arguments.get_or_undefined(index).to_string(context)?.to_std_string_lossy())
}

fn log(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let line = text(arguments, 0, context)?;
    host(context)?.log(&line);
    Ok(JsValue::undefined())
}

fn compare(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let (a, b) = (text(arguments, 0, context)?, text(arguments, 1, context)?);
    Ok(host(context)?.compare(&a, &b).into())
}

fn is_over(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    host(context).map(|_| false.into())
}

fn step(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    host(context)?.restart();
    Ok(JsValue::undefined())
}

fn next_row(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let row = host(context)?.next_row().map_err(|_| stop())?;
    Ok(row.map_or_else(JsValue::undefined, |row| JsString::from(row).into()))
}

fn start(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let response = text(arguments, 0, context)?;
    host(context)?.start(response).map_err(|_| stop())?;
    Ok(JsValue::undefined())
}

fn send(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let piece = text(arguments, 0, context)?;
    host(context)?.send(piece).map_err(|_| stop())?;
    Ok(JsValue::undefined())
}

/// Compiles a function by CouchDB's rules; `eval` is the prelude's.
fn compile(_: &JsValue, arguments: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let eval = arguments.get_or_undefined(0).as_callable().ok_or_else(JsNativeError::typ)?;
    let source = text(arguments, 1, context)?;
    let mut evaluate = |script: &str| {
        check_syntax(script)?;
        let script = JsString::from(&*with_sound_lengths(script)).into();
        let value = eval
            .call(&JsValue::undefined(), &[script], context)
            .map_err(|error| describe(error, context))?;
        Ok::<_, Failure>(value.as_callable())
    };
    let mut compiled = compile_by(&source, &mut evaluate);
    if matches!(compiled, Err(CompileError::Syntax { .. }))
        && let Some(modern) = modernize(&source)
        && let Ok(found) = compile_by(&modern, &mut evaluate)
    {
        compiled = Ok(found);
    }
    match compiled {
        Ok(function) => caught_function(&function, context).map(JsValue::from),
        Err(CompileError::TimedOut) => Err(stop()),
        Err(error) => {
            let thrown = JsObject::with_null_proto();
            let why = JsString::from(error.to_string());
            thrown.create_data_property(js_string!("compilation"), why, context)?;
            Err(JsError::from_opaque(thrown.into()))
        }
    }
}

/// `function` as one whose caller can catch what Boa makes of recursion that goes too deep.
fn caught_function(function: &JsObject, context: &mut Context) -> JsResult<JsObject> {
    let name = function.get(js_string!("name"), context)?.to_string(context)?;
    let length = function.get(js_string!("length"), context)?.to_length(context)?;
    let native = NativeFunction::from_copy_closure_with_captures(
        |this, arguments, function: &JsObject, context| {
            function.call(this, arguments, context).map_err(catchable)
        },
        function.clone(),
    );
    let built = FunctionObjectBuilder::new(context.realm(), native)
        .name(name)
        .length(usize::try_from(length).unwrap_or_default());
    Ok(built.build().into())
}

/// Puts other functions in the place of `JSON.parse` and `JSON.stringify`. Boa runs JSON texts as
/// programs, whose strings it never forgets.
pub(super) fn guard_json(context: &mut Context) -> JsResult<()> {
    let json = context.intrinsics().objects().json();
    let parse = json.get(js_string!("parse"), context)?;
    let stringify = json.get(js_string!("stringify"), context)?;
    let (Some(parse), Some(stringify)) = (parse.as_object(), stringify.as_object()) else {
        return Err(JsNativeError::typ().into());
    };
    let parse_fast = NativeFunction::from_copy_closure_with_captures(
        |this, arguments, parse: &JsObject, context| match parse_plain(arguments, context) {
            Some(value) => Ok(value),
            None => parse.call(this, arguments, context).map_err(catchable),
        },
        parse,
    );
    let parse_fast = FunctionObjectBuilder::new(context.realm(), parse_fast)
        .name(js_string!("parse"))
        .length(2)
        .build();
    json.set(js_string!("parse"), parse_fast, true, context)?;
    let stringify = caught_function(&stringify, context)?;
    json.set(js_string!("stringify"), stringify, true, context)?;
    Ok(())
}

/// The value of a text that is all there is to parse; none where Boa's own parser must decide.
fn parse_plain(arguments: &[JsValue], context: &mut Context) -> Option<JsValue> {
    if arguments.get_or_undefined(1).is_callable() {
        return None;
    }
    let text = arguments.first()?.as_string()?.to_std_string().ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    JsValue::from_json(&value, context).ok()
}
