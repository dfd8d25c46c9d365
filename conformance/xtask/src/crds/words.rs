//! Names: from the camel case of a CRD to Rust's cases, and the first sentence of a description.

/// `wellKnownCACertificates` → `well_known_ca_certificates`; digits stay with the word before them.
pub(crate) fn snake(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    let mut previous: Option<char> = None;
    for (index, &character) in characters.iter().enumerate() {
        let next_is_lower = characters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        let starts_word = character.is_ascii_uppercase()
            && previous.is_some_and(|before| {
                before.is_ascii_lowercase() || (before.is_ascii_uppercase() && next_is_lower)
            });
        if starts_word {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
        previous = Some(character);
    }
    text
}

/// `HTTPRoute` → `HttpRoute`.
pub(crate) fn pascal(name: &str) -> String {
    snake(name).split('_').map(capitalised).collect()
}

/// The name that serde's `camelCase` gives to a field.
pub(crate) fn camel(rust: &str) -> String {
    let mut words = rust.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| text + &capitalised(word))
}

/// A field's Rust name: snake case, with `_` behind a keyword as k8s-openapi writes it.
pub(crate) fn field(name: &str) -> String {
    let snake = snake(name);
    if matches!(snake.as_str(), "type" | "match" | "ref" | "use" | "mod" | "for") {
        snake + "_"
    } else {
        snake
    }
}

/// The first sentence of a description, on one line, safe in rustdoc; none if there is nothing to say.
pub(crate) fn first_sentence(description: &str) -> Option<String> {
    let paragraph = description.split("\n\n").next().unwrap_or_default();
    let line = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line
        .match_indices(". ")
        .map(|(at, _)| at)
        .find(|&at| !line.get(..at).is_some_and(|before| before.ends_with("i.e") || before.ends_with("e.g")));
    let sentence = line.get(..end.unwrap_or(line.len()))?.trim_end_matches(['.', ':']);
    if sentence.is_empty() {
        return None;
    }
    let mut text = String::new();
    for character in sentence.chars() {
        if matches!(character, '[' | ']' | '<' | '>' | '*' | '_') {
            text.push('\\');
        }
        text.push(character);
    }
    Some(text + ".")
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + characters.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{camel, field, first_sentence, pascal, snake};

    #[test]
    fn acronyms_are_words() {
        assert_eq!(snake("wellKnownCACertificates"), "well_known_ca_certificates");
        assert_eq!(pascal("BackendTLSPolicy"), "BackendTlsPolicy");
        assert_eq!(pascal("XBackendTrafficPolicy"), "XBackendTrafficPolicy");
        assert_eq!(pascal("H2C"), "H2c");
        assert_eq!(camel("parent_refs"), "parentRefs");
        assert_eq!(field("type"), "type_");
    }

    #[test]
    fn only_the_first_sentence_is_kept() {
        assert_eq!(
            first_sentence("Name is it, e.g. this\none. More.\n\nEven more."),
            Some("Name is it, e.g. this one.".into())
        );
        assert_eq!(first_sentence(""), None);
    }
}
