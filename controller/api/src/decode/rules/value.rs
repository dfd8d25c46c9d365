//! JSON values as CEL values. Lists and mappings are shared, so that a rule's loops copy pointers and not objects.

use std::borrow::Cow;
use std::sync::Arc;

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator as CelIterator, Sizer};
use cel::common::types::{self, CelBool, CelDouble, CelInt, CelNull, CelString, Type};
use cel::common::value::{CowVal, Val};
use serde_json::Value;

/// A value that a rule can see.
#[derive(Clone, Debug)]
pub(super) enum Item<'v> {
    Null,
    Bool(CelBool),
    Int(CelInt),
    Double(CelDouble),
    String(CelString<'v>),
    List(List<'v>),
    Map(Mapping<'v>),
}

impl<'v> Item<'v> {
    pub(super) fn scalar(value: &'v Value, double: bool) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(CelBool::from(*value)),
            Value::String(text) => Self::String(CelString::from(text.as_str())),
            Value::Number(number) => match number.as_i64() {
                Some(number) if !double => Self::Int(CelInt::from(number)),
                _ => Self::Double(CelDouble::from(number.as_f64().unwrap_or_default())),
            },
            _ => Self::Null,
        }
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(List(items.into()))
    }

    pub(super) fn map(entries: Vec<(&'v str, Self)>) -> Self {
        Self::Map(Mapping(entries.into_iter().map(|(name, item)| (CelString::from(name), item)).collect()))
    }

    pub(super) fn boxed(&self) -> Box<dyn Val + 'v> {
        self.as_val().clone_as_boxed()
    }

    /// How many entries a list or mapping has.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::List(List(items)) => Some(items.len()),
            Self::Map(Mapping(entries)) => Some(entries.len()),
            _ => None,
        }
    }

    fn as_val<'b>(&'b self) -> &'b (dyn Val + 'v) {
        match self {
            Self::Null => &CelNull,
            Self::Bool(value) => value,
            Self::Int(value) => value,
            Self::Double(value) => value,
            Self::String(value) => value,
            Self::List(value) => value,
            Self::Map(value) => value,
        }
    }
}

/// A list of an object.
#[derive(Clone, Debug)]
pub(super) struct List<'v>(Arc<[Item<'v>]>);

/// A mapping of an object, entries in the order of their names.
#[derive(Clone, Debug)]
pub(super) struct Mapping<'v>(Arc<[(CelString<'v>, Item<'v>)]>);

impl<'v> Mapping<'v> {
    fn find(&self, key: &dyn Val) -> Option<&Item<'v>> {
        self.field(key.downcast_ref::<CelString<'_>>()?.inner())
    }

    /// The field that a rule names `name`.
    pub(super) fn field(&self, name: &str) -> Option<&Item<'v>> {
        let key = unescaped(name);
        self.0.iter().find(|(name, _)| name.inner() == key).map(|(_, item)| item)
    }
}

/// A field's own name for the one that CEL can write: `__namespace__` for the reserved word, `__dot__` and its like within a name.
fn unescaped(name: &str) -> Cow<'_, str> {
    if !name.contains("__") {
        return Cow::Borrowed(name);
    }
    let parts = [("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];
    let replaced = parts.iter().fold(name.to_owned(), |name, (escape, text)| name.replace(escape, text));
    match replaced.strip_prefix("__").and_then(|rest| rest.strip_suffix("__")) {
        Some(word) if !word.is_empty() => Cow::Owned(word.to_owned()),
        _ => Cow::Owned(replaced),
    }
}

impl<'v> Val for List<'v> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &types::LIST_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(size), Some(items)) = (other.as_sizer(), other.as_iterable()) else { return false };
        if other.get_type() != self.get_type() || *size.size().inner() != self.0.len() as i64 {
            return false;
        }
        let mut items = items.iter();
        self.0.iter().all(|item| items.next().is_some_and(|other| item.as_val().equals(other)))
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Container for List<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.0.iter().any(|item| item.as_val().equals(value)))
    }
}

impl Indexer for List<'_> {
    fn get<'b, 'w>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let index = index.downcast_ref::<CelInt>().map(|index| *index.inner());
        let index =
            index.ok_or_else(|| ExecutionError::function_error("_[_]", "a list is indexed by integers"))?;
        let item = usize::try_from(index).ok().and_then(|index| self.0.get(index));
        item.map(|item| CowVal::Borrowed(item.as_val()))
            .ok_or_else(|| ExecutionError::IndexOutOfBounds(index.into()))
    }

    fn steal<'w>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        Ok(self.get(index)?.into_owned())
    }
}

impl Iterable for List<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn CelIterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Items(self.0.iter()))
    }
}

impl Sizer for List<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(self.0.len() as i64)
    }
}

struct Items<'b, 'v>(std::slice::Iter<'b, Item<'v>>);

impl<'b, 'v: 'w, 'w> CelIterator<'b, 'w> for Items<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|item| item.as_val() as &(dyn Val + 'w))
    }
}

impl<'v> Val for Mapping<'v> {
    fn get_type(&self) -> &Type {
        <Self as Val>::cel_type()
    }

    fn cel_type() -> &'static Type {
        &types::MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_iterable<'b, 'w>(&'b self) -> Option<&'b (dyn Iterable + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let (Some(size), Some(fields)) = (other.as_sizer(), other.as_indexer()) else { return false };
        other.get_type() == self.get_type()
            && *size.size().inner() == self.0.len() as i64
            && self
                .0
                .iter()
                .all(|(name, item)| fields.get(name).is_ok_and(|other| item.as_val().equals(other.as_ref())))
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(self.clone())
    }
}

impl Container for Mapping<'_> {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.find(key).is_some())
    }
}

impl Indexer for Mapping<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let missing = || {
            ExecutionError::no_such_key(
                key.downcast_ref::<CelString<'_>>().map_or("such key", |key| key.inner()),
            )
        };
        self.find(key).map(|item| CowVal::Borrowed(item.as_val() as &(dyn Val + 'w))).ok_or_else(missing)
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        Ok(self.get(key)?.into_owned())
    }
}

impl Iterable for Mapping<'_> {
    fn iter<'b, 'w>(&'b self) -> Box<dyn CelIterator<'b, 'w> + 'b>
    where
        Self: 'w,
    {
        Box::new(Names(self.0.iter()))
    }
}

impl Sizer for Mapping<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(self.0.len() as i64)
    }
}

struct Names<'b, 'v>(std::slice::Iter<'b, (CelString<'v>, Item<'v>)>);

impl<'b, 'v: 'w, 'w> CelIterator<'b, 'w> for Names<'b, 'v> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'w)> {
        self.0.next().map(|(name, _)| name as &(dyn Val + 'w))
    }
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escaped_names_are_read_back() {
        for (written, name) in [
            ("name", "name"),
            ("__namespace__", "namespace"),
            ("a__dot__b", "a.b"),
            ("a__dash__b__slash__c", "a-b/c"),
            ("__underscores__", "__"),
        ] {
            assert_eq!(unescaped(written), name, "{written}");
        }
    }
}
