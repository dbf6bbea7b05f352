//! Says what a module would cost to compile, before it is.
//!
//! Compiling cannot be interrupted, and its register allocation takes time that grows much faster
//! than the code: ninety kilobytes made for the purpose took half a minute, and fifteen took all
//! memory. What drives it is how many values live across how many branches, and how deep loops
//! lie in one another, so that is counted. The limits leave room for what compilers make, large
//! interpreters among it, and let nothing through that takes more than about half a minute.

use wasmparser::{
    CompositeInnerType, FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody,
    Operator, Parser, Payload, TypeSectionReader, ValidPayload, Validator, ValidatorResources,
    WasmFeatures,
};

/// The longest module that is compiled.
pub(super) const MODULE_BYTES_MAX: usize = 4 << 20;
const FUNCTIONS_MAX: usize = 20_000;
const FUNCTION_BYTES_MAX: usize = 256 << 10;
/// Parameters or results of one type: each is a value that a single short instruction makes.
const SIGNATURE_MAX: usize = 64;
/// What all functions may weigh together; a unit has taken up to 18 nanoseconds.
const WEIGHT_MAX: u64 = 2_000_000_000;
/// How much more a nested loop weighs than another branch.
const LOOP_WEIGHT: u64 = 24;

/// What modules may use: WebAssembly 2.0 without references to the host's objects, and arithmetic
/// in constants.
pub(super) const FEATURES: WasmFeatures =
    WasmFeatures::WASM2.difference(WasmFeatures::GC_TYPES).union(WasmFeatures::EXTENDED_CONST);

/// Checks that a module is valid and can be compiled within bounds.
///
/// # Errors
/// Why not, for people.
pub(super) fn weigh(module: &[u8]) -> Result<(), String> {
    if module.len() > MODULE_BYTES_MAX {
        return Err(format!("The module is longer than {MODULE_BYTES_MAX} bytes."));
    }
    let invalid = |error: wasmparser::BinaryReaderError| {
        format!("The module is not valid: {} (at offset {:#x}).", error.message(), error.offset())
    };
    let mut validator = Validator::new_with_features(FEATURES);
    let mut allocations = FuncValidatorAllocations::default();
    let mut weight = 0_u64;
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(invalid)?;
        match &payload {
            Payload::FunctionSection(functions) if functions.count() as usize > FUNCTIONS_MAX => {
                return Err(format!("The module has more than {FUNCTIONS_MAX} functions."));
            }
            Payload::TypeSection(types) => check_signatures(types.clone())?,
            Payload::CodeSectionEntry(body) if body.range().len() > FUNCTION_BYTES_MAX => {
                return Err(format!("A function is longer than {FUNCTION_BYTES_MAX} bytes."));
            }
            _ => {}
        }
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(invalid)? {
            let (added, reused) = function_weight(function, &body, allocations).map_err(invalid)?;
            allocations = reused;
            weight = weight.saturating_add(added);
            if weight > WEIGHT_MAX {
                return Err(
                    "The module would take too long to compile: it has functions with too \
                            many variables and branches."
                        .to_owned(),
                );
            }
        }
    }
    Ok(())
}

/// Malformed types are left to the validator.
fn check_signatures(types: TypeSectionReader<'_>) -> Result<(), String> {
    for group in types.into_iter().map_while(Result::ok) {
        for kind in group.types() {
            if let CompositeInnerType::Func(signature) = &kind.composite_type.inner
                && signature.params().len().max(signature.results().len()) > SIGNATURE_MAX
            {
                return Err(format!(
                    "A function type has more than {SIGNATURE_MAX} parameters or results."
                ));
            }
        }
    }
    Ok(())
}

/// Validates a function and weighs it.
fn function_weight(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    allocations: FuncValidatorAllocations,
) -> wasmparser::Result<(u64, FuncValidatorAllocations)> {
    let mut validator: FuncValidator<ValidatorResources> = function.into_validator(allocations);
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut operators = wasmparser::OperatorsReader::new(reader);
    let mut branches = 1_u64;
    let mut values = 0_u32;
    let mut nesting = Nesting::default();
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        branches += match &operator {
            Operator::Block { .. } | Operator::If { .. } | Operator::Loop { .. } => 1,
            Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } => 1,
            // Targets that are named twice cost little.
            Operator::BrTable { targets } => {
                u64::from(targets.len().min(validator.control_stack_height())) + 1
            }
            _ => 0,
        };
        nesting.note(&operator);
        validator.op(offset, &operator)?;
        values = values.max(validator.operand_stack_height());
    }
    operators.finish()?;
    let values = 1 + u64::from(validator.len_locals()) + u64::from(values);
    let steepness = branches.saturating_add(LOOP_WEIGHT * nesting.deepest);
    let weight = values.saturating_mul(branches).saturating_mul(steepness);
    Ok((weight, validator.into_allocations()))
}

/// How deep loops lie in one another.
#[derive(Default)]
struct Nesting {
    /// The open blocks: whether each is a loop.
    open: Vec<bool>,
    loops: u64,
    deepest: u64,
}

impl Nesting {
    fn note(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::Block { .. } | Operator::If { .. } => self.open.push(false),
            Operator::Loop { .. } => {
                self.open.push(true);
                self.loops += 1;
                self.deepest = self.deepest.max(self.loops);
            }
            Operator::End if self.open.pop() == Some(true) => self.loops -= 1,
            _ => {}
        }
    }
}
