//! Makes a tree of a function's source.
//!
//! What is not known here is refused, so that the engine runs it: no error is ever told to anyone.
//! That includes sources that an engine would refuse itself.

use std::collections::HashMap;

use oxc_allocator::Allocator;
use oxc_ast::ast;
use oxc_parser::{ParseOptions, Parser};
use oxc_span::SourceType;

use super::super::rewrite::to_script;
use super::super::scan::{TokenKind, tokens};
use super::tree::{Expression, Function, Slot, Statement, Tree};

/// The parser recurses: this many tokens fit on a thread's stack, whatever they are.
const TOKENS_MAX: usize = 2000;

/// Brackets that are open at a time.
const OPEN_BRACKETS_MAX: usize = 32;

/// How deep the trees of all functions are together, for the stack on which they run.
const DEPTH_MAX: usize = 200;

/// Functions of one tree, itself among them; the machine has a bit for each.
const FUNCTIONS_MAX: usize = 32;

/// Variables of one tree.
const SLOTS_MAX: usize = 1000;

/// What of a function must be known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Everything.
    #[default]
    Whole,
    /// Its statements and names. An expression that is not known is the engine's once it is
    /// reached. The engine must have found the source to be a function.
    Partial,
}

/// Compiles a function; none where the engine must run it. Recurses as deep as the source does,
/// so it needs a stack of a few megabytes.
pub(super) fn compile(source: &str, strictness: Strictness) -> Option<Tree> {
    let script = to_script(source);
    if !is_plain(&script) || script.contains("<!--") || script.contains("-->") {
        return None;
    }
    let allocator = Allocator::default();
    let options = ParseOptions { preserve_parens: false, ..ParseOptions::default() };
    let parser = Parser::new(&allocator, &script, SourceType::script()).with_options(options);
    let parsed = parser.parse();
    if parsed.panicked || !parsed.diagnostics.is_empty() || !parsed.program.directives.is_empty() {
        return None;
    }
    let mut statements =
        parsed.program.body.iter().filter(|one| !matches!(one, ast::Statement::EmptyStatement(_)));
    let Some(ast::Statement::ExpressionStatement(statement)) = statements.next() else {
        return None;
    };
    if statements.next().is_some() {
        return None;
    }
    let mut compiler = Compiler { strictness, ..Compiler::default() };
    compiler.outermost(&statement.expression)?;
    let functions = compiler.functions.into_iter().collect::<Option<Vec<Function>>>()?;
    let (is_whole, sees_alike) = (!compiler.has_foreign, compiler.wide_looks == 0);
    Some(Tree { functions, slots: compiler.slots, is_whole, sees_alike })
}

/// Whether the parser may have the script, and will find no function in it that waits.
fn is_plain(script: &str) -> bool {
    let tokens = tokens(script);
    let mut open = 0_usize;
    tokens.len() <= TOKENS_MAX
        && tokens.iter().all(|token| {
            let text = token.text(script);
            match token.kind {
                TokenKind::Punctuator if matches!(text, "(" | "[" | "{") => open += 1,
                TokenKind::Punctuator if matches!(text, ")" | "]" | "}") => {
                    open = open.saturating_sub(1);
                }
                TokenKind::Template => open += usize::from(text.ends_with("${")),
                _ => {}
            }
            open <= OPEN_BRACKETS_MAX && !matches!(text, "async" | "await")
        })
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binding {
    /// A parameter, a `var` or a function.
    Variable(Slot),
    Let(Slot),
    Const(Slot),
    /// Something that is not supported.
    Unknown,
}

/// The names that are declared in one place.
#[derive(Debug, Default)]
struct Scope {
    names: HashMap<String, Binding>,
}

/// What is being compiled.
#[derive(Debug, Default)]
pub(super) struct Compiler {
    functions: Vec<Option<Function>>,
    slots: usize,
    scopes: Vec<Scope>,
    strictness: Strictness,
    /// Whether something is left to the engine.
    has_foreign: bool,
    /// What may go otherwise in a filter: uses of the document that may show what only maps or
    /// only filters are told; assignments to members, which maps cannot change; and lines logged.
    pub wide_looks: usize,
    /// Regular expressions that only test.
    pub regulars: usize,
    pub at: Place,
}

/// Where the compiler is in the source.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Place {
    /// Functions around the present place.
    function_depth: usize,
    /// Loops of the present function around the present place.
    pub loops: usize,
    pub switches: usize,
    /// The nesting at the present place, and the most so far in the present function.
    depth: usize,
    deepest: usize,
    /// The sum of all functions that are done.
    depths: usize,
}

impl Compiler {
    fn outermost(&mut self, expression: &ast::Expression<'_>) -> Option<()> {
        match expression {
            ast::Expression::FunctionExpression(function) => {
                let mut own = Scope::default();
                if let Some(id) = &function.id {
                    own.names.insert(id.name.to_string(), Binding::Unknown);
                }
                self.scopes.push(own);
                self.function(function)
            }
            ast::Expression::ArrowFunctionExpression(arrow) => self.arrow(arrow),
            _ => None,
        }
        .map(|_| ())
    }

    /// Whether expressions may be left to the engine.
    pub fn is_partial(&self) -> bool {
        self.strictness == Strictness::Partial
    }

    /// Compiles an expression, or leaves it to the engine where that is allowed.
    pub fn or_foreign(
        &mut self,
        compile: impl FnOnce(&mut Self) -> Option<Expression>,
    ) -> Option<Expression> {
        let (functions, scopes, at) = (self.functions.len(), self.scopes.len(), self.at);
        let made = compile(self);
        if made.is_some() || !self.is_partial() {
            return made;
        }
        self.functions.truncate(functions);
        self.scopes.truncate(scopes);
        self.at = at;
        self.has_foreign = true;
        Some(Expression::Foreign)
    }

    /// Compiles a function that is called before anything that it uses is gone: it stands where
    /// it is called, or in the body of the outermost one.
    pub fn function(&mut self, function: &ast::Function<'_>) -> Option<u16> {
        let body = function.body.as_deref()?;
        if function.generator {
            return None;
        }
        self.function_of(&function.params, FunctionBody::Statements(body))
    }

    pub fn arrow(&mut self, arrow: &ast::ArrowFunctionExpression<'_>) -> Option<u16> {
        let body = match &arrow.body {
            ast::ArrowFunctionBody::FunctionBody(body) => FunctionBody::Statements(body),
            other => FunctionBody::Expression(other.as_expression()?),
        };
        self.function_of(&arrow.params, body)
    }

    fn function_of(
        &mut self,
        parameters: &ast::FormalParameters<'_>,
        body: FunctionBody<'_, '_>,
    ) -> Option<u16> {
        let id = self.functions.len();
        if id >= FUNCTIONS_MAX || parameters.rest.is_some() {
            return None;
        }
        self.functions.push(None);
        self.scopes.push(Scope::default());
        let Place { function_depth, depths, .. } = self.at;
        let inside = Place { function_depth: function_depth + 1, depths, ..Place::default() };
        let around = std::mem::replace(&mut self.at, inside);
        let mut made = Function::default();
        for parameter in &parameters.items {
            let plain = parameter.initializer.is_none() && !parameter.optional;
            let name = plain.then(|| name_of(&parameter.pattern)).flatten()?;
            made.parameters.push(self.declare(name, Binding::Variable)?);
        }
        match body {
            FunctionBody::Expression(expression) => {
                let value = self.expression(expression)?;
                made.body.push(Statement::Return(Some(value)));
            }
            FunctionBody::Statements(body) => {
                let strict = |directive: &ast::Directive<'_>| directive.directive == "use strict";
                body.directives.iter().all(strict).then_some(())?;
                self.body(&mut made, &body.statements)?;
            }
        }
        self.at = Place { depths: self.at.depths + self.at.deepest, ..around };
        self.scopes.pop();
        *self.functions.get_mut(id)? = Some(made);
        u16::try_from(id).ok()
    }

    fn body(&mut self, made: &mut Function, statements: &[ast::Statement<'_>]) -> Option<()> {
        let mut names = Vec::new();
        for statement in statements {
            hoisted(statement, &mut names);
        }
        for name in names {
            match self.scopes.last()?.names.get(name) {
                Some(Binding::Variable(_)) => {}
                Some(_) => return None,
                None => made.variables.push(self.declare(name, Binding::Variable)?),
            }
        }
        let mut declared = Vec::new();
        for statement in statements {
            if let ast::Statement::FunctionDeclaration(function) = statement {
                // Only what the outermost function declares lives as long as the frame.
                let name =
                    function.id.as_ref().filter(|_| self.at.function_depth == 1)?.name.as_str();
                let slot = match self.scopes.last()?.names.get(name) {
                    Some(Binding::Variable(slot)) => *slot,
                    Some(_) => return None,
                    None => self.declare(name, Binding::Variable)?,
                };
                declared.push((slot, function));
            }
        }
        made.lexical = self.lexical(statements)?;
        for (slot, function) in declared {
            if made.declared.iter().any(|(other, _)| *other == slot) {
                return None;
            }
            made.declared.push((slot, self.function(function)?));
        }
        for statement in statements {
            if !matches!(statement, ast::Statement::FunctionDeclaration(_)) {
                self.statement(statement, &mut made.body)?;
            }
        }
        Some(())
    }

    /// Declares what `let` and `const` do among these statements.
    pub fn lexical(&mut self, statements: &[ast::Statement<'_>]) -> Option<Vec<Slot>> {
        let mut slots = Vec::new();
        for statement in statements {
            match statement {
                ast::Statement::VariableDeclaration(declaration) => {
                    slots.extend(self.declare_lexical(declaration)?);
                }
                ast::Statement::ClassDeclaration(_) => return None,
                _ => {}
            }
        }
        Some(slots)
    }

    /// Declares the names of a `let` or `const`.
    pub fn declare_lexical(
        &mut self,
        declaration: &ast::VariableDeclaration<'_>,
    ) -> Option<Vec<Slot>> {
        let make = match declaration.kind {
            ast::VariableDeclarationKind::Var => return Some(Vec::new()),
            ast::VariableDeclarationKind::Let => Binding::Let,
            ast::VariableDeclarationKind::Const => Binding::Const,
            _ => return None,
        };
        let names = declaration.declarations.iter().map(|one| name_of(&one.id));
        names.map(|name| self.declare(name?, make)).collect()
    }

    /// A new variable in the present scope.
    fn declare(&mut self, name: &str, make: fn(Slot) -> Binding) -> Option<Slot> {
        if RESERVED.contains(&name) || self.slots >= SLOTS_MAX {
            return None;
        }
        let slot = Slot::try_from(self.slots).ok()?;
        self.slots += 1;
        let before = self.scopes.last_mut()?.names.insert(name.to_owned(), make(slot));
        before.is_none().then_some(slot)
    }

    /// What a name stands for; none for a global.
    pub fn binding(&self, name: &str) -> Option<Binding> {
        self.scopes.iter().rev().find_map(|scope| scope.names.get(name)).copied()
    }

    /// Compiles something with a scope of its own.
    pub fn scoped<T>(&mut self, compile: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.scopes.push(Scope::default());
        let made = compile(self);
        self.scopes.pop();
        made
    }

    /// Compiles something that is nested.
    pub fn nested<T>(&mut self, compile: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.at.depth += 1;
        self.at.deepest = self.at.deepest.max(self.at.depth);
        if self.at.depths + self.at.deepest > DEPTH_MAX {
            return None;
        }
        let made = compile(self);
        self.at.depth -= 1;
        made
    }

    /// Whether the present place is in the outermost function's own body, in no block or loop.
    pub fn is_outermost(&self) -> bool {
        self.at.function_depth == 1 && self.at.depth <= 1 && self.at.loops == 0
    }

    /// Compiles a value that may be a function, which then stands where it is passed on to be
    /// called, or lives as long as the frame.
    pub fn expression_or_function(
        &mut self,
        expression: &ast::Expression<'_>,
    ) -> Option<Expression> {
        self.or_foreign(|this| {
            Some(Expression::Function(match expression {
                ast::Expression::FunctionExpression(function) if function.id.is_none() => {
                    this.function(function)?
                }
                ast::Expression::ArrowFunctionExpression(arrow) => this.arrow(arrow)?,
                other => return this.expression(other),
            }))
        })
    }
}

#[derive(Clone, Copy)]
enum FunctionBody<'b, 'a> {
    Statements(&'b ast::FunctionBody<'a>),
    Expression(&'b ast::Expression<'a>),
}

/// Names that mean something special, some only in strict functions.
const RESERVED: [&str; 16] = [
    "Infinity",
    "NaN",
    "arguments",
    "await",
    "eval",
    "implements",
    "interface",
    "let",
    "package",
    "private",
    "protected",
    "public",
    "static",
    "undefined",
    "yield",
    "async",
];

/// The name that a plain pattern binds.
pub(super) fn name_of<'p>(pattern: &'p ast::BindingPattern<'_>) -> Option<&'p str> {
    match pattern {
        ast::BindingPattern::BindingIdentifier(id) => Some(id.name.as_str()),
        _ => None,
    }
}

/// The names that `var` declares in a statement and those inside of it.
fn hoisted<'s>(statement: &'s ast::Statement<'_>, names: &mut Vec<&'s str>) {
    let of_declaration = |declaration: &'s ast::VariableDeclaration<'_>,
                          names: &mut Vec<&'s str>| {
        if declaration.kind == ast::VariableDeclarationKind::Var {
            names.extend(declaration.declarations.iter().filter_map(|one| name_of(&one.id)));
        }
    };
    match statement {
        ast::Statement::VariableDeclaration(declaration) => of_declaration(declaration, names),
        ast::Statement::BlockStatement(block) => {
            block.body.iter().for_each(|inner| hoisted(inner, names));
        }
        ast::Statement::IfStatement(one) => {
            hoisted(&one.consequent, names);
            if let Some(other) = &one.alternate {
                hoisted(other, names);
            }
        }
        ast::Statement::ForStatement(one) => {
            if let Some(ast::ForStatementInit::VariableDeclaration(declaration)) = &one.init {
                of_declaration(declaration, names);
            }
            hoisted(&one.body, names);
        }
        ast::Statement::ForInStatement(one) => {
            if let ast::ForStatementLeft::VariableDeclaration(declaration) = &one.left {
                of_declaration(declaration, names);
            }
            hoisted(&one.body, names);
        }
        ast::Statement::ForOfStatement(one) => {
            if let ast::ForStatementLeft::VariableDeclaration(declaration) = &one.left {
                of_declaration(declaration, names);
            }
            hoisted(&one.body, names);
        }
        ast::Statement::WhileStatement(one) => hoisted(&one.body, names),
        ast::Statement::DoWhileStatement(one) => hoisted(&one.body, names),
        ast::Statement::SwitchStatement(one) => {
            let inner = one.cases.iter().flat_map(|case| &case.consequent);
            inner.for_each(|inner| hoisted(inner, names));
        }
        _ => {}
    }
}
