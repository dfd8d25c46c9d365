//! Query parameters of admin pages.

use percent_encoding::percent_decode_str;

/// The decoded values of `name`, in order. `+` stands for a space, as forms and people write it.
pub(super) fn all<'q>(query: Option<&'q str>, name: &'q str) -> impl Iterator<Item = String> + 'q {
    query.unwrap_or_default().split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

/// The first of them.
pub(super) fn first(query: Option<&str>, name: &str) -> Option<String> {
    all(query, name).next()
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded() {
        let query = Some("url=http%3A%2F%2Fa%2F%3Fb%3Dc&header=a:+1&header=b%3A2&flag");
        assert_eq!(first(query, "url").as_deref(), Some("http://a/?b=c"));
        assert_eq!(all(query, "header").collect::<Vec<_>>(), ["a: 1", "b:2"]);
        assert_eq!(first(query, "flag").as_deref(), Some(""));
        assert_eq!((first(query, "none"), first(None, "url")), (None, None));
    }
}
