//! The text format of certificate files: ZPL (RFC 4), as far as they use it.
//!
//! A line is a name, and perhaps a value; four spaces before it make it part of the line above.

/// One line that says something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property<'a> {
    /// In how many others it is contained.
    pub(super) depth: usize,
    pub(super) name: &'a str,
    /// Empty if there is none.
    pub(super) value: &'a str,
}

/// The properties of `text`, in order; the error is the number of a line, counted from 1, that cannot be read.
pub(super) fn properties(text: &str) -> impl Iterator<Item = Result<Property<'_>, usize>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    lines(text)
        .enumerate()
        .filter(|(_, line)| !is_comment(line))
        .map(|(at, line)| property(line).ok_or(at + 1))
}

/// Whether `name` can be that of a property.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_name_octet)
}

/// `content` as a value, in the quotes that it needs; `None` if no way of writing it reads as itself.
pub(super) fn quoted(content: &str) -> Option<String> {
    [
        format!("\"{content}\""),
        format!("'{content}'"),
        content.to_owned(),
    ]
    .into_iter()
    .find(|written| {
        let is_line = !written.contains(['\n', '\r']);
        is_line && value(&format!("={written}")) == Some(content)
    })
}

/// Ends of lines are LF, CR or CR LF.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_ascii_start();
    line.is_empty() || line.starts_with('#')
}

fn property(line: &str) -> Option<Property<'_>> {
    let content = line.trim_start_matches(' ');
    let indent = line.len() - content.len();
    let name_len = content
        .bytes()
        .take_while(|octet| is_name_octet(*octet))
        .count();
    let (name, rest) = content.split_at_checked(name_len)?;
    if !indent.is_multiple_of(INDENT) || name.is_empty() {
        return None;
    }
    Some(Property {
        depth: indent / INDENT,
        name,
        value: value(rest.trim_ascii())?,
    })
}

/// The value in what follows a name.
fn value(rest: &str) -> Option<&str> {
    if rest.is_empty() || rest.starts_with('#') {
        return Some("");
    }
    let text = rest.strip_prefix('=')?.trim_ascii_start();
    Some(in_quotes(text).unwrap_or_else(|| up_to_comment(text)))
}

/// Quotes that do not close, or are not all there is, are part of the value.
fn in_quotes(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| "\"'".contains(*first))?;
    let (value, rest) = text.strip_prefix(quote)?.split_once(quote)?;
    is_comment(rest).then_some(value)
}

fn up_to_comment(text: &str) -> &str {
    text.split('#').next().unwrap_or(text).trim_ascii_end()
}

fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"$-_@.&+/".contains(&octet)
}

/// The spaces before a contained property, for each level.
const INDENT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(usize, &str, &str)>, usize> {
        properties(text)
            .map(|property| property.map(|it| (it.depth, it.name, it.value)))
            .collect()
    }

    #[test]
    fn indentation_says_what_belongs_to_what() {
        let text = "# head\n\nmain\n    kind = queue  \n    in\n        side = a # left\r\nend\r";
        let expected = [
            (0, "main", ""),
            (1, "kind", "queue"),
            (1, "in", ""),
            (2, "side", "a"),
            (0, "end", ""),
        ];
        assert_eq!(read(text), Ok(expected.to_vec()));
    }

    #[test]
    fn quotes_keep_what_they_hold() {
        for (written, value) in [
            (r#"a = "x # y""#, "x # y"),
            (r#"a = ' x' # z"#, " x"),
            (r#"a = "x"#, "\"x"),
            (r#"a = "x" y"#, r#""x" y"#),
            (r#"a = it's"#, "it's"),
            (r#"a = """#, ""),
            ("a =", ""),
            ("a=b=c", "b=c"),
            ("a", ""),
        ] {
            assert_eq!(read(written), Ok(vec![(0, "a", value)]), "{written}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for wrong in ["   a = b", "\ta = b", "= b", "a b", "é = b", "a ! b"] {
            assert_eq!(read(&format!("ok\n#\n{wrong}\nok")), Err(3), "{wrong}");
        }
    }

    #[test]
    fn what_is_quoted_reads_as_itself() {
        for value in ["", "x", " # ", "\"", "it's", "=", "ünïcode", "'a' \"b\""] {
            let line = format!("a = {}", quoted(value).unwrap());
            assert_eq!(read(&line), Ok(vec![(0, "a", value)]));
        }
        for impossible in ["\"'#", " \"'", "'\" ", "a\nb", "\r"] {
            assert_eq!(quoted(impossible), None);
        }
    }
}
