//! Writing edits: validation functions are asked first, on a thread that may block; where there
//! are none, nothing is waited for but the write.

use std::sync::Arc;

use crate::auth::UserCtx;
use crate::blocking;
use crate::database::{Admitted, Author, Database, Edit, EditOutcome};
use crate::document::{DocId, Rev};

use super::error::ApiError;

/// Asks whether a user may write `edits`.
///
/// # Errors
/// Where the database cannot be read. Refusals are outcomes of the edits.
pub async fn admit(
    db: &Arc<Database>,
    user: &UserCtx,
    edits: Vec<Edit>,
) -> Result<Admitted, ApiError> {
    match db.admit_unasked(edits) {
        Ok(admitted) => Ok(admitted),
        Err(edits) => {
            let author = Author::User { name: user.name.clone(), roles: user.roles.clone() };
            let db = db.clone();
            let admitted = blocking::run("validate documents", move || db.admit(edits, &author));
            Ok(Box::pin(admitted).await??)
        }
    }
}

/// Writes edits durably; the outcomes stand in their order.
///
/// # Errors
/// Where nothing could be written.
pub async fn write(
    db: &Arc<Database>,
    user: &UserCtx,
    edits: Vec<Edit>,
) -> Result<Vec<EditOutcome>, ApiError> {
    let admitted = admit(db, user, edits).await?;
    Ok(blocking::settle(db.edit(admitted)?).await?)
}

/// The revision that the only edit of a request made.
///
/// # Errors
/// What the request is refused with: 409, 412, and what a validation function says.
pub fn saved(id: &DocId, outcomes: Vec<EditOutcome>) -> Result<Rev, ApiError> {
    match outcomes.into_iter().next() {
        Some(EditOutcome::Saved(rev) | EditOutcome::Known(rev)) => Ok(rev),
        Some(EditOutcome::Refused(error)) => Err(error.into()),
        Some(EditOutcome::MissingStub { name }) => {
            Err(ApiError::MissingStub { id: id.to_string(), name })
        }
        Some(EditOutcome::PartitionOverflow) => Err(ApiError::PartitionOverflow(id.to_string())),
        Some(EditOutcome::Conflict) | None => Err(ApiError::Conflict),
    }
}
