//! Compiles expressions.

use oxc_ast::ast;

use super::compile::{Binding, Compiler};
use super::inherited::Inherited;
use super::pattern::Pattern;
use super::regular::Regular;
use super::tree::{
    Assign, BinaryOperator, Builtin, Expression, Method, MethodCall, Name, Slot, Target,
    UnaryOperator, Update,
};

/// Regular expressions of one tree: each keeps some memory.
const REGULARS_MAX: usize = 16;

/// The variable that stands for a map's document: what is declared first is its first parameter.
const DOCUMENT: Slot = 0;

/// Members that a document has for maps only, or for filters only.
const TOLD_OTHERWISE: [&str; 2] = ["_local_seq", "_revisions"];

impl Compiler {
    pub fn expression(&mut self, expression: &ast::Expression<'_>) -> Option<Expression> {
        self.or_foreign(|this| this.nested(|this| this.expression_inside(expression)))
    }

    fn expression_inside(&mut self, expression: &ast::Expression<'_>) -> Option<Expression> {
        Some(match expression {
            ast::Expression::NullLiteral(_) => Expression::Null,
            ast::Expression::BooleanLiteral(literal) => Expression::Bool(literal.value),
            ast::Expression::NumericLiteral(literal) => number(literal)?,
            ast::Expression::StringLiteral(literal) => Expression::Text(text(literal)?.into()),
            ast::Expression::TemplateLiteral(template) => self.template(template)?,
            ast::Expression::Identifier(id) => self.identifier(&id.name)?,
            ast::Expression::StaticMemberExpression(member) if !member.optional => {
                let object = self.expression(&member.object)?;
                self.member(object, member.property.name.as_str())
            }
            ast::Expression::ComputedMemberExpression(member) if !member.optional => {
                self.indexed(member)?
            }
            ast::Expression::UnaryExpression(unary) => {
                let (operator, value) =
                    (unary_operator(unary.operator)?, self.expression(&unary.argument)?);
                if matches!(operator, UnaryOperator::Not | UnaryOperator::TypeOf) {
                    self.narrow(&value);
                }
                Expression::Unary(operator, Box::new(value))
            }
            ast::Expression::BinaryExpression(binary) => {
                let one = self.expression(&binary.left)?;
                let two = self.expression(&binary.right)?;
                Expression::Binary(binary_operator(binary.operator)?, Box::new([one, two]))
            }
            ast::Expression::LogicalExpression(logical) => {
                let one = self.expression(&logical.left)?;
                if logical.operator == ast::LogicalOperator::And {
                    // An object is never what `&&` ends with at its left.
                    self.narrow(&one);
                }
                let both = Box::new([one, self.expression(&logical.right)?]);
                match logical.operator {
                    ast::LogicalOperator::And => Expression::And(both),
                    ast::LogicalOperator::Or => Expression::Or(both),
                    ast::LogicalOperator::Coalesce => Expression::Coalesce(both),
                }
            }
            ast::Expression::ConditionalExpression(conditional) => {
                let test = self.expression(&conditional.test)?;
                let then = self.expression(&conditional.consequent)?;
                let other = self.expression(&conditional.alternate)?;
                Expression::Conditional(Box::new([test, then, other]))
            }
            ast::Expression::SequenceExpression(sequence) => {
                let all = sequence.expressions.iter().map(|one| self.expression(one));
                Expression::Sequence(all.collect::<Option<_>>()?)
            }
            ast::Expression::ArrayExpression(array) => {
                let items = array.elements.iter();
                let items = items.map(|item| self.expression(item.as_expression()?));
                Expression::Array(items.collect::<Option<_>>()?)
            }
            ast::Expression::ObjectExpression(object) => self.object(object)?,
            ast::Expression::AssignmentExpression(assign) => self.assignment(assign)?,
            ast::Expression::UpdateExpression(update) => Expression::Update(Box::new(Update {
                target: self.target(&update.argument)?,
                delta: match update.operator {
                    ast::UpdateOperator::Increment => 1.0,
                    ast::UpdateOperator::Decrement => -1.0,
                },
                is_postfix: !update.prefix,
            })),
            ast::Expression::CallExpression(call) => self.call(call)?,
            _ => return None,
        })
    }

    fn indexed(&mut self, member: &ast::ComputedMemberExpression<'_>) -> Option<Expression> {
        let object = self.expression(&member.object)?;
        Some(match self.expression(&member.expression)? {
            Expression::Text(text) => self.member(object, &text),
            index => Expression::Index(Box::new([object, index])),
        })
    }

    fn member(&mut self, object: Expression, member: &str) -> Expression {
        if !TOLD_OTHERWISE.contains(&member) {
            self.narrow(&object);
        }
        Expression::Member(Box::new(object), name(member))
    }

    /// Takes note that a use of the document shows nothing of it but what is told alike.
    fn narrow(&mut self, used: &Expression) {
        self.wide_looks -= usize::from(matches!(used, Expression::Slot(DOCUMENT)));
    }

    fn identifier(&mut self, name: &str) -> Option<Expression> {
        match self.binding(name) {
            Some(Binding::Variable(slot) | Binding::Let(slot) | Binding::Const(slot)) => {
                self.wide_looks += usize::from(slot == DOCUMENT);
                Some(Expression::Slot(slot))
            }
            Some(Binding::Unknown) => None,
            None => match name {
                "undefined" => Some(Expression::Undefined),
                "NaN" => Some(Expression::Number(f64::NAN)),
                "Infinity" => Some(Expression::Number(f64::INFINITY)),
                _ => None,
            },
        }
    }

    fn template(&mut self, template: &ast::TemplateLiteral<'_>) -> Option<Expression> {
        let mut parts = Vec::new();
        let mut values = template.expressions.iter();
        for quasi in &template.quasis {
            if quasi.lone_surrogates {
                return None;
            }
            parts.push(Expression::Text(quasi.value.cooked.as_ref()?.as_str().into()));
            if let Some(value) = values.next() {
                parts.push(self.expression(value)?);
            }
        }
        Some(Expression::Template(parts))
    }

    fn object(&mut self, object: &ast::ObjectExpression<'_>) -> Option<Expression> {
        let mut members = Vec::with_capacity(object.properties.len());
        for property in &object.properties {
            let ast::ObjectPropertyKind::ObjectProperty(property) = property else { return None };
            if property.kind != ast::PropertyKind::Init || property.method || property.computed {
                return None;
            }
            let name: Box<str> = match &property.key {
                ast::PropertyKey::StaticIdentifier(id) => id.name.as_str().into(),
                ast::PropertyKey::StringLiteral(literal) => text(literal)?.into(),
                ast::PropertyKey::NumericLiteral(literal) => match number(literal)? {
                    Expression::Number(number) => {
                        ryu_js::Buffer::new().format(number).to_owned().into()
                    }
                    _ => return None,
                },
                _ => return None,
            };
            if &*name == "__proto__" {
                return None;
            }
            members.push((name, self.expression(&property.value)?));
        }
        Some(Expression::Object(members))
    }

    fn assignment(&mut self, assign: &ast::AssignmentExpression<'_>) -> Option<Expression> {
        let operator = match assign.operator {
            ast::AssignmentOperator::Assign => None,
            other => Some(binary_operator(other.to_binary_operator()?)?),
        };
        let target = self.target(assign.left.as_simple_assignment_target()?)?;
        let value = self.expression(&assign.right)?;
        Some(Expression::Assign(Box::new(Assign { target, operator, value })))
    }

    fn target(&mut self, target: &ast::SimpleAssignmentTarget<'_>) -> Option<Target> {
        Some(match target {
            ast::SimpleAssignmentTarget::AssignmentTargetIdentifier(id) => {
                match self.binding(&id.name)? {
                    Binding::Variable(slot) | Binding::Let(slot) => Target::Slot(slot),
                    Binding::Const(_) | Binding::Unknown => return None,
                }
            }
            ast::SimpleAssignmentTarget::StaticMemberExpression(member) if !member.optional => {
                let name = Expression::Text(member.property.name.as_str().into());
                self.wide_looks += 1;
                Target::Member(self.expression(&member.object)?, name)
            }
            ast::SimpleAssignmentTarget::ComputedMemberExpression(member) if !member.optional => {
                let object = self.expression(&member.object)?;
                self.wide_looks += 1;
                Target::Member(object, self.expression(&member.expression)?)
            }
            _ => return None,
        })
    }

    fn call(&mut self, call: &ast::CallExpression<'_>) -> Option<Expression> {
        if call.optional {
            return None;
        }
        match &call.callee {
            ast::Expression::Identifier(id) => {
                let arguments = self.plain_arguments(call)?;
                match self.binding(&id.name) {
                    Some(Binding::Variable(slot) | Binding::Let(slot) | Binding::Const(slot)) => {
                        Some(Expression::Call(slot, arguments))
                    }
                    Some(Binding::Unknown) => None,
                    None => match id.name.as_str() {
                        "emit" => {
                            for argument in &arguments {
                                self.narrow(argument);
                            }
                            Some(Expression::Emit(arguments))
                        }
                        "log" => {
                            self.wide_looks += 1;
                            Some(Expression::Log(arguments))
                        }
                        name => Some(Expression::Builtin(Builtin::global(name)?, arguments)),
                    },
                }
            }
            ast::Expression::StaticMemberExpression(member) if !member.optional => {
                self.method(member, call)
            }
            _ => None,
        }
    }

    fn method(
        &mut self,
        member: &ast::StaticMemberExpression<'_>,
        call: &ast::CallExpression<'_>,
    ) -> Option<Expression> {
        let method = member.property.name.as_str();
        if let ast::Expression::Identifier(id) = &member.object
            && self.binding(&id.name).is_none()
        {
            let builtin = Builtin::member(&id.name, method)?;
            return Some(Expression::Builtin(builtin, self.plain_arguments(call)?));
        }
        if let ast::Expression::RegExpLiteral(literal) = &member.object {
            return self.test(literal, call).filter(|_| method == "test");
        }
        let receiver = self.expression(&member.object)?;
        let literal = call.arguments.first().and_then(|argument| match argument {
            ast::Argument::RegExpLiteral(literal) => Some(literal),
            _ => None,
        });
        if let Some(literal) = literal {
            let pattern = pattern(literal)?;
            return match (method, call.arguments.as_slice()) {
                ("split", [_]) => Some(Expression::Split(Box::new((receiver, pattern)))),
                ("replace", [_, with]) => {
                    let with = self.expression(with.as_expression()?)?;
                    Some(Expression::Replace(Box::new((receiver, pattern, with))))
                }
                _ => None,
            };
        }
        let method = Method::named(method)?;
        let arguments = call.arguments.iter();
        let arguments =
            arguments.map(|argument| self.expression_or_function(argument.as_expression()?));
        let arguments = arguments.collect::<Option<_>>()?;
        Some(Expression::Method(Box::new(MethodCall { receiver, method, arguments })))
    }

    fn test(
        &mut self,
        literal: &ast::RegExpLiteral<'_>,
        call: &ast::CallExpression<'_>,
    ) -> Option<Expression> {
        let [argument] = call.arguments.as_slice() else { return None };
        let text = self.expression(argument.as_expression()?)?;
        if let Some(pattern) = pattern(literal) {
            return Some(Expression::Test(Box::new((pattern, text))));
        }
        self.regulars += 1;
        if self.regulars > REGULARS_MAX {
            return None;
        }
        let (source, flags) = (&literal.regex.pattern.text, literal.regex.flags.to_string());
        let regular = Regular::new(source.as_str(), &flags)?;
        Some(Expression::Matches(Box::new((regular, text))))
    }

    fn plain_arguments(&mut self, call: &ast::CallExpression<'_>) -> Option<Vec<Expression>> {
        let arguments = call.arguments.iter();
        arguments.map(|argument| self.expression(argument.as_expression()?)).collect()
    }
}

fn name(text: &str) -> Name {
    Name { text: text.into(), inherited: Inherited::of(text) }
}

fn number(literal: &ast::NumericLiteral<'_>) -> Option<Expression> {
    let raw = literal.raw.as_ref()?.as_str().as_bytes();
    // `010` is eight in some functions.
    let is_odd = matches!(raw, [b'0', b'0'..=b'9' | b'_', ..]);
    (!is_odd).then_some(Expression::Number(literal.value))
}

fn text<'l>(literal: &'l ast::StringLiteral<'_>) -> Option<&'l str> {
    let raw = literal.raw.as_ref()?.as_str();
    // `\07` is allowed in some functions.
    let has_octal = raw.as_bytes().windows(2).any(|two| matches!(two, [b'\\', b'0'..=b'9']));
    (!literal.lone_surrogates && !has_octal).then(|| literal.value.as_str())
}

fn pattern(literal: &ast::RegExpLiteral<'_>) -> Option<Pattern> {
    Pattern::new(literal.regex.pattern.text.as_str(), &literal.regex.flags.to_string())
}

fn unary_operator(operator: ast::UnaryOperator) -> Option<UnaryOperator> {
    Some(match operator {
        ast::UnaryOperator::LogicalNot => UnaryOperator::Not,
        ast::UnaryOperator::UnaryNegation => UnaryOperator::Minus,
        ast::UnaryOperator::UnaryPlus => UnaryOperator::Plus,
        ast::UnaryOperator::BitwiseNot => UnaryOperator::BitNot,
        ast::UnaryOperator::Typeof => UnaryOperator::TypeOf,
        ast::UnaryOperator::Void => UnaryOperator::Void,
        ast::UnaryOperator::Delete => return None,
    })
}

fn binary_operator(operator: ast::BinaryOperator) -> Option<BinaryOperator> {
    use BinaryOperator as Op;
    use ast::BinaryOperator as Ast;
    Some(match operator {
        Ast::Equality => Op::Equal,
        Ast::Inequality => Op::NotEqual,
        Ast::StrictEquality => Op::StrictEqual,
        Ast::StrictInequality => Op::StrictNotEqual,
        Ast::LessThan => Op::Less,
        Ast::LessEqualThan => Op::LessEqual,
        Ast::GreaterThan => Op::Greater,
        Ast::GreaterEqualThan => Op::GreaterEqual,
        Ast::Addition => Op::Add,
        Ast::Subtraction => Op::Subtract,
        Ast::Multiplication => Op::Multiply,
        Ast::Division => Op::Divide,
        Ast::Remainder => Op::Remainder,
        Ast::BitwiseAnd => Op::BitAnd,
        Ast::BitwiseOR => Op::BitOr,
        Ast::BitwiseXOR => Op::BitXor,
        Ast::ShiftLeft => Op::ShiftLeft,
        Ast::ShiftRight => Op::ShiftRight,
        Ast::ShiftRightZeroFill => Op::ShiftRightUnsigned,
        Ast::In => Op::In,
        Ast::Exponential | Ast::Instanceof => return None,
    })
}
