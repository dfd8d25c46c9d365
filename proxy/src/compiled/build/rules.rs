//! Builds rules and what they do.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use model::{Action, Forward, L4Rule, Redirect, Rule, WeightedBackend};

use super::Build;
use super::tables::rule_subject;
use crate::compiled::{
    CompileError, CompiledAction, CompiledForward, CompiledL4, CompiledRedirect, CompiledRule,
    CompiledTarget, WeightedPick,
};
use crate::upstream::budget::BudgetWindow;

impl Build<'_> {
    pub(super) fn rule(&self, table: &str, rule: &Rule) -> Result<CompiledRule, CompileError> {
        let subject = format!("{table}, {}", rule_subject(&rule.origin, rule.index));
        let action = match &rule.action {
            Action::Forward(forward) => CompiledAction::Forward(self.forward(&subject, forward)?),
            Action::Redirect(redirect) => CompiledAction::Redirect(compile_redirect(&subject, redirect)?),
            Action::Respond { status: answer, body } => CompiledAction::Respond {
                status: status(&subject, *answer, 200..=599)?,
                body: Bytes::copy_from_slice(body.as_bytes()),
            },
        };
        let origin = &rule.origin;
        let label = match &rule.name {
            Some(name) => format!("{}/{}/{name}", origin.namespace, origin.name),
            None => format!("{}/{}/{}", origin.namespace, origin.name, rule.index),
        };
        Ok(CompiledRule {
            origin: origin.clone(),
            index: rule.index,
            name: rule.name.clone(),
            label: label.into(),
            filters: self.filters(&subject, &rule.filters)?,
            action,
        })
    }

    pub(super) fn l4(&self, subject: &str, rule: &L4Rule) -> Result<Arc<CompiledL4>, CompileError> {
        let subject = format!("{subject}, {}", rule.origin);
        Ok(Arc::new(CompiledL4 {
            origin: rule.origin.clone(),
            label: format!("{}/{}", rule.origin.namespace, rule.origin.name).into(),
            targets: self.targets(&subject, &rule.backends)?,
            idle_timeout: rule.idle_timeout,
        }))
    }

    fn forward(&self, subject: &str, forward: &Forward) -> Result<CompiledForward, CompileError> {
        Ok(CompiledForward {
            backends: self.targets(subject, &forward.backends)?,
            timeouts: forward.timeouts.clone(),
            retry: forward.retry.clone(),
            budget: BudgetWindow::default(),
            session: forward.session.clone(),
        })
    }

    fn targets(
        &self,
        subject: &str,
        backends: &[WeightedBackend],
    ) -> Result<WeightedPick<CompiledTarget>, CompileError> {
        let targets = backends.iter().map(|weighted| {
            let backend = self.backend(subject, &weighted.backend)?;
            let filters = self.filters(subject, &weighted.filters)?;
            Ok((weighted.weight, CompiledTarget { backend, filters }))
        });
        Ok(WeightedPick::new(targets.collect::<Result<Vec<_>, CompileError>>()?))
    }
}

fn compile_redirect(subject: &str, redirect: &Redirect) -> Result<CompiledRedirect, CompileError> {
    Ok(CompiledRedirect {
        scheme: redirect.scheme.clone(),
        host: redirect.host.clone(),
        port: redirect.port,
        path: redirect.path.clone(),
        status: status(subject, redirect.status, 300..=399)?,
    })
}

/// A status that may be answered here.
pub(super) fn status(
    subject: &str,
    code: u16,
    range: RangeInclusive<u16>,
) -> Result<StatusCode, CompileError> {
    let allowed = range.contains(&code).then(|| StatusCode::from_u16(code).ok()).flatten();
    allowed.ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        CompileError::new(subject, format!("status {code} is not in {low}-{high}"))
    })
}
