//! Compiles modules for the one engine that the process has, and keeps them.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use wasmtime::{
    Caller, Config, Engine, Extern, ExternType, InstancePre, Linker, Module, OptLevel, ValType,
    WasmFeatures,
};

use super::cache::Cache;
use super::guest::Guest;
use super::module::WasmModule;
use super::ticker::{Ticker, Ticking};
use super::weigh::{FEATURES, weigh};
use crate::sandbox::clock::Clock;
use crate::sandbox::program::CallError;

/// The stack of a module, within that of a thread of the pool.
const STACK_BYTES_MAX: usize = 512 << 10;

/// The names of the only import there is.
const LOG: (&str, &str) = ("settee", "log");

/// The exports that every module must have.
pub(super) const MEMORY: &str = "memory";
pub(super) const ALLOC: &str = "alloc";

/// A module, ready to be instantiated.
pub(super) struct Compiled {
    pub instance: InstancePre<Guest>,
    /// The exports that can be design functions.
    functions: HashSet<String>,
    /// Bytes of machine code and what belongs to it.
    bytes: usize,
}

struct Wasm {
    linker: Linker<Guest>,
    ticker: Ticker,
    cache: Cache,
}

static WASM: LazyLock<Result<Wasm, String>> = LazyLock::new(|| {
    let start = || -> wasmtime::Result<Wasm> {
        let engine = Engine::new(&config())?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap(LOG.0, LOG.1, log)?;
        let ticker = Ticker::start(&engine).map_err(wasmtime::Error::new)?;
        Ok(Wasm { linker, ticker, cache: Cache::default() })
    };
    start().map_err(|error| format!("WebAssembly does not run here: {error}"))
});

fn config() -> Config {
    let mut config = Config::new();
    let features = WasmFeatures::from_bits_truncate(FEATURES.bits());
    config.wasm_features(WasmFeatures::all().difference(features), false);
    config.wasm_features(features, true);
    config.cranelift_opt_level(OptLevel::Speed);
    config.epoch_interruption(true);
    config.max_wasm_stack(STACK_BYTES_MAX);
    config.wasm_backtrace_max_frames(None);
    config
}

/// `settee.log(pointer, length)`.
fn log(mut caller: Caller<'_, Guest>, pointer: u32, length: u32) -> wasmtime::Result<()> {
    let Some(Extern::Memory(memory)) = caller.get_export(MEMORY) else {
        return Err(wasmtime::Trap::MemoryOutOfBounds.into());
    };
    let (memory, guest) = memory.data_and_store_mut(&mut caller);
    let begin = pointer as usize;
    let line = memory.get(begin..).and_then(|rest| rest.get(..length as usize));
    guest.log(line.ok_or(wasmtime::Trap::MemoryOutOfBounds)?);
    Ok(())
}

/// Makes a module ready, or waits for whoever is at it.
///
/// # Errors
/// Where it is no module that can be used, and where the time is over.
pub(super) fn compiled(module: &WasmModule, clock: &Clock) -> Result<Arc<Compiled>, CallError> {
    let wasm = WASM.as_ref().map_err(|why| CallError::Compilation(why.clone()))?;
    wasm.cache.get(module.digest(), clock, || {
        compile(&wasm.linker, module.bytes()).map_err(CallError::Compilation)
    })
}

/// Whether a module can be used, and exports a function of that name.
///
/// # Errors
/// Why not; [`CallError::Compilation`] is about the module.
pub(in crate::sandbox) fn check(
    module: &WasmModule,
    export: Option<&str>,
    clock: &Clock,
) -> Result<(), CallError> {
    let compiled = compiled(module, clock)?;
    let checked = export.map_or(Ok(()), |name| compiled.check_function(name));
    checked.map_err(CallError::Compilation)
}

/// Lets running modules look at the time as long as what this returns lives.
pub(super) fn tick() -> Option<Ticking> {
    WASM.as_ref().ok().map(|wasm| wasm.ticker.begin())
}

fn compile(linker: &Linker<Guest>, bytes: &[u8]) -> Result<Compiled, String> {
    weigh(bytes)?;
    let invalid = |error: wasmtime::Error| format!("The module cannot be compiled: {error:#}.");
    let module = Module::from_binary(linker.engine(), bytes).map_err(invalid)?;
    check_imports(&module)?;
    check_exports(&module)?;
    let functions = module.exports().filter(|export| is_design_function(&export.ty()));
    let functions = functions.map(|export| export.name().to_owned()).collect();
    let image = module.image_range();
    let bytes = (image.end as usize).saturating_sub(image.start as usize);
    let instance = linker.instantiate_pre(&module).map_err(invalid)?;
    Ok(Compiled { instance, functions, bytes })
}

fn check_imports(module: &Module) -> Result<(), String> {
    for import in module.imports() {
        let names = (import.module(), import.name());
        if names != LOG {
            let (from, name) = names;
            return Err(format!(
                "The module imports `{from}.{name}`, but the only import there is is `settee.log`."
            ));
        }
        if !has_signature(&import.ty(), &[ValType::I32, ValType::I32], &[]) {
            return Err(
                "The import `settee.log` must be a function of type (i32, i32) -> ().".to_owned()
            );
        }
    }
    Ok(())
}

fn check_exports(module: &Module) -> Result<(), String> {
    match module.get_export(MEMORY) {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => {}
        Some(_) => return Err("The export `memory` must be a 32-bit memory.".to_owned()),
        None => return Err("The module has no export `memory`.".to_owned()),
    }
    match module.get_export(ALLOC) {
        Some(alloc) if has_signature(&alloc, &[ValType::I32], &[ValType::I32]) => Ok(()),
        Some(_) => Err("The export `alloc` must be a function of type (i32) -> i32.".to_owned()),
        None => Err("The module has no export `alloc`.".to_owned()),
    }
}

fn is_design_function(export: &ExternType) -> bool {
    has_signature(export, &[ValType::I32, ValType::I32], &[ValType::I64])
}

fn has_signature(item: &ExternType, parameters: &[ValType], results: &[ValType]) -> bool {
    let same = |found: &mut dyn ExactSizeIterator<Item = ValType>, wanted: &[ValType]| {
        found.len() == wanted.len() && found.zip(wanted).all(|(a, b)| ValType::eq(&a, b))
    };
    let ExternType::Func(function) = item else { return false };
    same(&mut function.params(), parameters) && same(&mut function.results(), results)
}

impl Compiled {
    /// Whether an export can be called as a design function.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check_function(&self, name: &str) -> Result<(), String> {
        if self.functions.contains(name) {
            return Ok(());
        }
        Err(match self.instance.module().get_export(name) {
            Some(_) => {
                format!("The export `{name}` must be a function of type (i32, i32) -> i64.")
            }
            None => format!("The module has no export `{name}`."),
        })
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
