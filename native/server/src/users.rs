//! `Users`: who may call. Only administrators change users, but everybody may change their own password and look at
//! themselves.

use store_core::{Answer, Expected, Fault};
use tonic::{Code, Status};
use wire::proto::users::details_resp::UserDetails;
use wire::proto::users::details_resp::user_details::DateTime;
use wire::proto::users::{
    ChangePasswordReq, ChangePasswordResp, CreateReq, CreateResp, DeleteReq, DeleteResp, DetailsReq,
    DetailsResp, DisableReq, DisableResp, EnableReq, EnableResp, ResetPasswordReq, ResetPasswordResp,
    UpdateReq, UpdateResp,
};

use crate::access::{Unknown, Users};
use crate::accounts::{self, Account, Kept};
use crate::answers::Answers;
use crate::fault;
use crate::messages::Messages;
use crate::node::Context;
use crate::passwords::Hashed;

/// An open server has no users, and like a real one it never answers who asks for them.
fn users(context: &Context) -> Result<&Users, Answers> {
    context.node.users.as_ref().ok_or_else(|| Answers::new(tokio_stream::pending()))
}

/// `Create`.
pub async fn create(context: Context, request: CreateReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    context.identity.administers()?;
    let options = request.options.ok_or_else(fault::handler)?;
    if options.login_name.is_empty() || options.password.is_empty() {
        return Err(fault::handler());
    }
    let name = options.login_name;
    if accounts::find(&context.engine(), &name).await.map_err(fault::of)?.is_some() {
        return Err(conflict(&name));
    }
    let password = hashed(options.password).await?;
    let (full_name, groups) = (options.full_name, options.groups);
    let account = Account { name: name.clone(), full_name, groups, disabled: false, password };
    // Listed first: somebody who could call and is not listed would be worse than a name without a user.
    write(&context, accounts::enlist(&name), &name).await?;
    write(&context, accounts::change(&account, Expected::NoStream), &name).await?;
    Ok(Answers::one(&CreateResp {}))
}

/// `Update`: the full name and the groups. A password is not changed by it, in a real server neither.
pub async fn update(context: Context, request: UpdateReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    context.identity.administers()?;
    let options = request.options.ok_or_else(fault::handler)?;
    change(&context, &options.login_name, |account| {
        account.full_name = options.full_name;
        account.groups = options.groups;
    })
    .await?;
    Ok(Answers::one(&UpdateResp {}))
}

/// `Delete`.
pub async fn delete(context: Context, request: DeleteReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    context.identity.administers()?;
    let name = request.options.ok_or_else(fault::handler)?.login_name;
    let kept = find(&context, &name).await?;
    write(&context, accounts::remove(&name, kept.revision), &name).await?;
    Ok(Answers::one(&DeleteResp {}))
}

/// `Disable`.
pub async fn disable(context: Context, request: DisableReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    context.identity.administers()?;
    let name = request.options.ok_or_else(fault::handler)?.login_name;
    change(&context, &name, |account| account.disabled = true).await?;
    Ok(Answers::one(&DisableResp {}))
}

/// `Enable`.
pub async fn enable(context: Context, request: EnableReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    context.identity.administers()?;
    let name = request.options.ok_or_else(fault::handler)?.login_name;
    change(&context, &name, |account| account.disabled = false).await?;
    Ok(Answers::one(&EnableResp {}))
}

/// `Details`, of one user or of all.
pub async fn details(context: Context, request: DetailsReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    let asked = request.options.map(|options| options.login_name).filter(|name| !name.is_empty());
    if !asked.as_ref().is_some_and(|name| context.identity.is(name)) {
        context.identity.operates()?;
    }
    let engine = context.engine();
    let mut messages = Messages::default();
    match asked {
        Some(name) => messages.push(&described(find(&context, &name).await?)),
        None => {
            for name in accounts::names(&engine).await.map_err(fault::of)? {
                if let Some(kept) = accounts::find(&engine, &name).await.map_err(fault::of)? {
                    messages.push(&described(kept));
                }
            }
        }
    }
    Ok(Answers::new(tokio_stream::once(Ok(messages))))
}

/// `ChangePassword`, by somebody who knows the one that there is.
pub async fn change_password(context: Context, request: ChangePasswordReq) -> Result<Answers, Status> {
    let users = match users(&context) {
        Ok(users) => users,
        Err(never) => return Ok(never),
    };
    let options = request.options.ok_or_else(fault::handler)?;
    if !context.identity.is(&options.login_name) {
        context.identity.administers()?;
    }
    if options.new_password.is_empty() {
        return Err(fault::handler());
    }
    match users.check(&context.engine(), &options.login_name, &options.current_password).await {
        Ok(_) => {}
        Err(Unknown::Failed(failed)) => return Err(fault::of(failed)),
        Err(_) => return Err(fault::access_denied()),
    }
    let password = hashed(options.new_password).await?;
    change(&context, &options.login_name, |account| account.password = password).await?;
    Ok(Answers::one(&ChangePasswordResp {}))
}

/// `ResetPassword`, by an administrator.
pub async fn reset_password(context: Context, request: ResetPasswordReq) -> Result<Answers, Status> {
    if let Err(never) = users(&context) {
        return Ok(never);
    }
    context.identity.administers()?;
    let options = request.options.ok_or_else(fault::handler)?;
    if options.new_password.is_empty() {
        return Err(fault::handler());
    }
    find(&context, &options.login_name).await?;
    let password = hashed(options.new_password).await?;
    change(&context, &options.login_name, |account| account.password = password).await?;
    Ok(Answers::one(&ResetPasswordResp {}))
}

async fn find(context: &Context, name: &str) -> Result<Kept, Status> {
    let found = accounts::find(&context.engine(), name).await.map_err(fault::of)?;
    found.ok_or_else(|| not_found(name))
}

/// Changes a user that nobody else changes meanwhile.
async fn change(context: &Context, name: &str, to: impl FnOnce(&mut Account)) -> Result<(), Status> {
    let Kept { mut account, revision, .. } = find(context, name).await?;
    to(&mut account);
    write(context, accounts::change(&account, Expected::Revision(revision)), name).await
}

async fn write(context: &Context, command: store_core::Command, name: &str) -> Result<(), Status> {
    match context.node.write(command, None, context.caller.deadline).await {
        Ok(Answer::Done { .. }) => Ok(()),
        Ok(Answer::Wrong { .. }) | Err(Fault::StreamDeleted(_)) => Err(conflict(name)),
        Err(failed) => Err(fault::of(failed)),
    }
}

async fn hashed(password: String) -> Result<Hashed, Status> {
    let hashed = tokio::task::spawn_blocking(move || Hashed::of(&password)).await;
    hashed.map_err(|error| Status::internal(format!("the password cannot be kept: {error}")))
}

fn described(kept: Kept) -> DetailsResp {
    let Kept { account: Account { name, full_name, groups, disabled, .. }, changed, .. } = kept;
    let last_updated = Some(DateTime { ticks_since_epoch: i64::try_from(changed).unwrap_or(i64::MAX) });
    let user_details = UserDetails { login_name: name, full_name, groups, last_updated, disabled };
    DetailsResp { user_details: Some(user_details) }
}

fn not_found(name: &str) -> Status {
    let text = format!("User '{name}' is not found.");
    fault::exception(Code::NotFound, text, "user-not-found", &[("login-name", name)])
}

fn conflict(name: &str) -> Status {
    let text = "Conflict.".to_owned();
    fault::exception(Code::FailedPrecondition, text, "user-conflict", &[("login-name", name)])
}
