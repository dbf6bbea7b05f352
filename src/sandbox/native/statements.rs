//! Compiles statements.

use oxc_ast::ast;

use super::compile::{Binding, Compiler, name_of};
use super::tree::{Assign, Expression, For, ForEach, Statement, Switch, Target};

impl Compiler {
    /// Compiles a statement and adds what it becomes.
    pub fn statement(
        &mut self,
        statement: &ast::Statement<'_>,
        out: &mut Vec<Statement>,
    ) -> Option<()> {
        self.nested(|this| this.statement_inside(statement, out))
    }

    fn statement_inside(
        &mut self,
        statement: &ast::Statement<'_>,
        out: &mut Vec<Statement>,
    ) -> Option<()> {
        out.push(match statement {
            ast::Statement::EmptyStatement(_) => return Some(()),
            ast::Statement::VariableDeclaration(declaration) => {
                return self.declaration(declaration, out);
            }
            ast::Statement::ExpressionStatement(one) => {
                Statement::Expression(self.expression(&one.expression)?)
            }
            ast::Statement::BlockStatement(block) => self.block(&block.body)?,
            ast::Statement::IfStatement(one) => {
                let test = self.expression(&one.test)?;
                let then = Box::new(self.one(&one.consequent)?);
                let other = match &one.alternate {
                    Some(other) => Some(Box::new(self.one(other)?)),
                    None => None,
                };
                Statement::If(test, then, other)
            }
            ast::Statement::ForStatement(one) => self.scoped(|this| this.for_loop(one))?,
            ast::Statement::WhileStatement(one) => Statement::For(Box::new(For {
                lexical: Vec::new(),
                begin: Vec::new(),
                test: Some(self.expression(&one.test)?),
                update: None,
                body: self.loop_body(&one.body)?,
            })),
            ast::Statement::DoWhileStatement(one) => {
                let body = Box::new(self.loop_body(&one.body)?);
                Statement::DoWhile(body, self.expression(&one.test)?)
            }
            ast::Statement::ForInStatement(one) => {
                let each = self.scoped(|this| this.for_each(&one.left, &one.right, &one.body))?;
                Statement::ForIn(Box::new(each))
            }
            ast::Statement::ForOfStatement(one) => {
                let each = self.scoped(|this| this.for_each(&one.left, &one.right, &one.body))?;
                Statement::ForOf(Box::new(each))
            }
            ast::Statement::SwitchStatement(one) => self.switch(one)?,
            ast::Statement::ReturnStatement(one) => Statement::Return(match &one.argument {
                Some(value) => Some(self.expression(value)?),
                None => None,
            }),
            ast::Statement::ThrowStatement(one) if self.is_partial() => {
                Statement::Throw(self.expression(&one.argument)?)
            }
            ast::Statement::BreakStatement(one)
                if one.label.is_none() && self.at.loops + self.at.switches > 0 =>
            {
                Statement::Break
            }
            ast::Statement::ContinueStatement(one) if one.label.is_none() && self.at.loops > 0 => {
                Statement::Continue
            }
            _ => return None,
        });
        Some(())
    }

    /// A statement that stands alone, as that of an `if`.
    fn one(&mut self, statement: &ast::Statement<'_>) -> Option<Statement> {
        let mut body = Vec::new();
        if let ast::Statement::VariableDeclaration(declaration) = statement
            && declaration.kind != ast::VariableDeclarationKind::Var
        {
            return None;
        }
        self.statement(statement, &mut body)?;
        if body.len() == 1 {
            return body.pop();
        }
        Some(Statement::Block { lexical: Vec::new(), body })
    }

    fn block(&mut self, statements: &[ast::Statement<'_>]) -> Option<Statement> {
        self.scoped(|this| {
            let lexical = this.lexical(statements)?;
            let mut body = Vec::with_capacity(statements.len());
            for statement in statements {
                this.statement(statement, &mut body)?;
            }
            Some(Statement::Block { lexical, body })
        })
    }

    fn loop_body(&mut self, statement: &ast::Statement<'_>) -> Option<Statement> {
        self.at.loops += 1;
        let body = self.one(statement);
        self.at.loops -= 1;
        body
    }

    fn declaration(
        &mut self,
        declaration: &ast::VariableDeclaration<'_>,
        out: &mut Vec<Statement>,
    ) -> Option<()> {
        for one in &declaration.declarations {
            let binding = self.binding(name_of(&one.id)?)?;
            let value = match &one.init {
                Some(value) => Some(self.initial(value)?),
                None => None,
            };
            match (declaration.kind, binding, value) {
                (ast::VariableDeclarationKind::Var, Binding::Variable(slot), Some(value)) => {
                    let assign = Assign { target: Target::Slot(slot), operator: None, value };
                    out.push(Statement::Expression(Expression::Assign(Box::new(assign))));
                }
                (ast::VariableDeclarationKind::Var, Binding::Variable(_), None) => {}
                (ast::VariableDeclarationKind::Let, Binding::Let(slot), value) => {
                    out.push(Statement::Declare(slot, value.unwrap_or(Expression::Undefined)));
                }
                (ast::VariableDeclarationKind::Const, Binding::Const(slot), Some(value)) => {
                    out.push(Statement::Declare(slot, value));
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// What a variable begins with. It may be a function where that lives as long as the frame.
    fn initial(&mut self, value: &ast::Expression<'_>) -> Option<Expression> {
        if self.is_outermost() {
            self.expression_or_function(value)
        } else {
            self.expression(value)
        }
    }

    fn for_loop(&mut self, one: &ast::ForStatement<'_>) -> Option<Statement> {
        let (mut begin, mut lexical) = (Vec::new(), Vec::new());
        match &one.init {
            None => {}
            Some(ast::ForStatementInit::VariableDeclaration(declaration)) => {
                lexical = self.declare_lexical(declaration)?;
                // What it begins with is no place for functions that are kept.
                self.at.loops += 1;
                self.declaration(declaration, &mut begin)?;
                self.at.loops -= 1;
            }
            Some(other) => {
                begin.push(Statement::Expression(self.expression(other.as_expression()?)?));
            }
        }
        let mut optional = |expression: &Option<ast::Expression<'_>>| match expression {
            Some(expression) => self.expression(expression).map(Some),
            None => Some(None),
        };
        let (test, update) = (optional(&one.test)?, optional(&one.update)?);
        let body = self.loop_body(&one.body)?;
        Some(Statement::For(Box::new(For { lexical, begin, test, update, body })))
    }

    fn for_each(
        &mut self,
        left: &ast::ForStatementLeft<'_>,
        right: &ast::Expression<'_>,
        body: &ast::Statement<'_>,
    ) -> Option<ForEach> {
        let (name, is_lexical) = match left {
            ast::ForStatementLeft::VariableDeclaration(declaration) => {
                let [one] = declaration.declarations.as_slice() else { return None };
                if one.init.is_some() {
                    return None;
                }
                self.declare_lexical(declaration)?;
                (name_of(&one.id)?, declaration.kind != ast::VariableDeclarationKind::Var)
            }
            ast::ForStatementLeft::AssignmentTargetIdentifier(id) => (id.name.as_str(), false),
            _ => return None,
        };
        let slot = match (self.binding(name)?, is_lexical) {
            (Binding::Let(slot) | Binding::Const(slot), true) => slot,
            (Binding::Variable(slot), false) => slot,
            _ => return None,
        };
        let over = self.expression(right)?;
        Some(ForEach { slot, is_lexical, over, body: self.loop_body(body)? })
    }

    fn switch(&mut self, one: &ast::SwitchStatement<'_>) -> Option<Statement> {
        let value = self.expression(&one.discriminant)?;
        self.at.switches += 1;
        let (mut cases, mut body) = (Vec::new(), Vec::new());
        for case in &one.cases {
            if self.scoped(|this| this.lexical(&case.consequent))?.is_empty() {
                let test = match &case.test {
                    Some(test) => Some(self.expression(test)?),
                    None => None,
                };
                cases.push((test, body.len()));
                for statement in &case.consequent {
                    self.statement(statement, &mut body)?;
                }
            } else {
                return None;
            }
        }
        self.at.switches -= 1;
        let is_single = cases.iter().filter(|(test, _)| test.is_none()).count() <= 1;
        is_single.then(|| Statement::Switch(Box::new(Switch { value, cases, body })))
    }
}
