//! The form in which a native function is run: what is left of its source once names are places
//! in a frame and everything that is not run natively has been refused.
//!
//! All functions of one tree share one frame: none is ever entered twice at a time, and closures
//! are called only while what they close over is alive, so each variable needs one place.

use super::inherited::Inherited;
use super::pattern::Pattern;
use super::regular::Regular;

/// The place of a variable in the frame.
pub(super) type Slot = u16;

/// A member's name that stands in the source.
#[derive(Debug)]
pub(super) struct Name {
    pub text: Box<str>,
    pub inherited: Inherited,
}

/// A function with those inside of it.
#[derive(Debug)]
pub(super) struct Tree {
    /// The function itself is the first; the others are those inside of it.
    pub functions: Vec<Function>,
    /// How many variables all functions have together.
    pub slots: usize,
    /// Whether nothing in it is left to the engine.
    pub is_whole: bool,
    /// Whether it sees of a document nothing but members that maps and filters are told alike, and
    /// tells nobody what it saw.
    pub sees_alike: bool,
}

#[derive(Debug, Default)]
pub(super) struct Function {
    pub parameters: Vec<Slot>,
    /// What is undefined when the function begins.
    pub variables: Vec<Slot>,
    /// What must not be used before its declaration.
    pub lexical: Vec<Slot>,
    /// Functions that are declared in it.
    pub declared: Vec<(Slot, u16)>,
    pub body: Vec<Statement>,
}

#[derive(Debug)]
pub(super) enum Statement {
    Expression(Expression),
    /// The beginning of a `let` or `const`.
    Declare(Slot, Expression),
    If(Expression, Box<Statement>, Option<Box<Statement>>),
    Block {
        lexical: Vec<Slot>,
        body: Vec<Statement>,
    },
    For(Box<For>),
    DoWhile(Box<Statement>, Expression),
    ForIn(Box<ForEach>),
    ForOf(Box<ForEach>),
    Switch(Box<Switch>),
    Return(Option<Expression>),
    Throw(Expression),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub lexical: Vec<Slot>,
    pub begin: Vec<Statement>,
    pub test: Option<Expression>,
    pub update: Option<Expression>,
    pub body: Statement,
}

/// A loop over names or elements.
#[derive(Debug)]
pub(super) struct ForEach {
    pub slot: Slot,
    /// Whether the slot is declared by the loop with `let` or `const`.
    pub is_lexical: bool,
    pub over: Expression,
    pub body: Statement,
}

#[derive(Debug)]
pub(super) struct Switch {
    pub value: Expression,
    /// The tests, none for `default`, and where in the body each leads.
    pub cases: Vec<(Option<Expression>, usize)>,
    pub body: Vec<Statement>,
}

#[derive(Debug)]
pub(super) enum Expression {
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(Box<str>),
    Slot(Slot),
    Function(u16),
    Member(Box<Expression>, Name),
    Index(Box<[Expression; 2]>),
    Unary(UnaryOperator, Box<Expression>),
    Binary(BinaryOperator, Box<[Expression; 2]>),
    And(Box<[Expression; 2]>),
    Or(Box<[Expression; 2]>),
    Coalesce(Box<[Expression; 2]>),
    Conditional(Box<[Expression; 3]>),
    Sequence(Vec<Expression>),
    /// A template: texts and values in turn.
    Template(Vec<Expression>),
    Array(Vec<Expression>),
    Object(Vec<(Box<str>, Expression)>),
    Assign(Box<Assign>),
    Update(Box<Update>),
    /// `emit` with at most its two arguments; further ones are evaluated for what they do.
    Emit(Vec<Expression>),
    Log(Vec<Expression>),
    Call(Slot, Vec<Expression>),
    Method(Box<MethodCall>),
    Builtin(Builtin, Vec<Expression>),
    /// `/pattern/.test(text)`
    Test(Box<(Pattern, Expression)>),
    /// The same with an expression that only tests.
    Matches(Box<(Regular, Expression)>),
    /// `text.split(/pattern/)`
    Split(Box<(Expression, Pattern)>),
    /// `text.replace(/pattern/, replacement)`
    Replace(Box<(Expression, Pattern, Expression)>),
    /// Something that only the engine knows.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Assign {
    pub target: Target,
    /// For `+=` and the like.
    pub operator: Option<BinaryOperator>,
    pub value: Expression,
}

#[derive(Debug)]
pub(super) struct Update {
    pub target: Target,
    pub delta: f64,
    /// Whether the value is that before the change.
    pub is_postfix: bool,
}

/// What can be assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Slot(Slot),
    Member(Expression, Expression),
}

#[derive(Debug)]
pub(super) struct MethodCall {
    pub receiver: Expression,
    pub method: Method,
    pub arguments: Vec<Expression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnaryOperator {
    Not,
    Minus,
    Plus,
    BitNot,
    TypeOf,
    Void,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BinaryOperator {
    Equal,
    NotEqual,
    StrictEqual,
    StrictNotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    ShiftRightUnsigned,
    In,
}

/// Functions that are no methods, or methods of globals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Builtin {
    IsArray,
    ParseInt,
    ParseFloat,
    Number,
    String,
    Boolean,
    IsNaN,
    IsFinite,
    Keys,
    Stringify,
    Floor,
    Ceil,
    Round,
    Abs,
    Min,
    Max,
}

impl Builtin {
    /// A global function.
    pub fn global(name: &str) -> Option<Self> {
        Some(match name {
            "isArray" => Self::IsArray,
            "parseInt" => Self::ParseInt,
            "parseFloat" => Self::ParseFloat,
            "Number" => Self::Number,
            "String" => Self::String,
            "Boolean" => Self::Boolean,
            "isNaN" => Self::IsNaN,
            "isFinite" => Self::IsFinite,
            "toJSON" => Self::Stringify,
            _ => return None,
        })
    }

    /// A function that is a member of a global object.
    pub fn member(object: &str, name: &str) -> Option<Self> {
        Some(match (object, name) {
            ("Array", "isArray") => Self::IsArray,
            ("Object", "keys") => Self::Keys,
            ("JSON", "stringify") => Self::Stringify,
            ("Math", "floor") => Self::Floor,
            ("Math", "ceil") => Self::Ceil,
            ("Math", "round") => Self::Round,
            ("Math", "abs") => Self::Abs,
            ("Math", "min") => Self::Min,
            ("Math", "max") => Self::Max,
            _ => return None,
        })
    }
}

/// Methods of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    CharAt,
    CharCodeAt,
    Concat,
    EndsWith,
    Every,
    Filter,
    ForEach,
    HasOwnProperty,
    Includes,
    IndexOf,
    Join,
    LastIndexOf,
    Map,
    Push,
    Replace,
    Slice,
    Some,
    Sort,
    Split,
    StartsWith,
    Substr,
    Substring,
    ToLowerCase,
    ToString,
    ToUpperCase,
    Trim,
}

const METHODS: [(&str, Method); 26] = [
    ("charAt", Method::CharAt),
    ("charCodeAt", Method::CharCodeAt),
    ("concat", Method::Concat),
    ("endsWith", Method::EndsWith),
    ("every", Method::Every),
    ("filter", Method::Filter),
    ("forEach", Method::ForEach),
    ("hasOwnProperty", Method::HasOwnProperty),
    ("includes", Method::Includes),
    ("indexOf", Method::IndexOf),
    ("join", Method::Join),
    ("lastIndexOf", Method::LastIndexOf),
    ("map", Method::Map),
    ("push", Method::Push),
    ("replace", Method::Replace),
    ("slice", Method::Slice),
    ("some", Method::Some),
    ("sort", Method::Sort),
    ("split", Method::Split),
    ("startsWith", Method::StartsWith),
    ("substr", Method::Substr),
    ("substring", Method::Substring),
    ("toLowerCase", Method::ToLowerCase),
    ("toString", Method::ToString),
    ("toUpperCase", Method::ToUpperCase),
    ("trim", Method::Trim),
];

impl Method {
    pub fn named(name: &str) -> Option<Self> {
        METHODS.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
    }

    pub fn name(self) -> &'static str {
        METHODS.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
    }
}
