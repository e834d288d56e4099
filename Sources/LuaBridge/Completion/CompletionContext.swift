// What the text before the cursor asks for. Pure text work: nothing is run.
//
// Invariant: the tokens cover the line up to the cursor in order; an unfinished string is the last.

/// A token of a line, good enough to find paths and open calls.
struct CompletionToken: Equatable {
  enum Kind { case name, number, string, openString, symbol }
  let kind: Kind
  let text: String
  /// Where it starts, in characters.
  let start: Int
}

/// What stands before the word to complete.
struct CompletionContext {
  /// A way to a value: a global name, then fields and elements.
  enum Step: Equatable {
    case field(String)
    case index(Int64)
  }

  enum Place: Equatable {
    case global
    /// After `path.` or `path:`.
    case field(path: [Step], isMethod: Bool)
    /// Inside the braces of `path{ … }` where a field name may stand.
    case argumentName(path: [Step], isMethod: Bool)
    /// Inside quotes, as positional argument `position` or as a named field.
    case positional(path: [Step], isMethod: Bool, position: Int)
    case named(path: [Step], isMethod: Bool, name: String)
    case nothing
  }

  let place: Place
  /// What is typed of the word.
  let word: String
  /// Where the word starts, in characters.
  let start: Int

  init(_ line: [Character]) {
    guard let tokens = Self.tokens(of: line) else {
      self.init(.nothing, "", line.count)
      return
    }
    var before = tokens[...]
    let end = tokens.last.map { $0.start + $0.text.count }
    if let last = tokens.last, last.kind == .openString {
      before.removeLast()
      let word = String(line[(last.start + 1)...])
      self.init(Self.stringPlace(before), word, last.start + 1)
    } else if let last = tokens.last, last.kind == .name, end == line.count {
      before.removeLast()
      self.init(Self.namePlace(before), last.text, last.start)
    } else if let last = tokens.last, last.kind == .number, end == line.count {
      self.init(.nothing, "", line.count)
    } else {
      self.init(Self.namePlace(before), "", line.count)
    }
  }

  /// The same word, as any name.
  init(globalWord other: CompletionContext) { self.init(.global, other.word, other.start) }

  private init(_ place: Place, _ word: String, _ start: Int) {
    self.place = place
    self.word = word
    self.start = start
  }

  // ---- Places ----

  private static func namePlace(_ tokens: ArraySlice<CompletionToken>) -> Place {
    if let last = tokens.last, last.text == "." || last.text == ":" {
      guard let path = path(endingAt: tokens.dropLast()) else { return .nothing }
      return .field(path: path.steps, isMethod: last.text == ":")
    }
    if let last = tokens.last, last.text == "{" || last.text == ",",
      let open = openBracket(tokens), open.text == "{",
      let callee = callee(tokens[..<open.index])
    {
      return .argumentName(path: callee.steps, isMethod: callee.isMethod)
    }
    return .global
  }

  private static func stringPlace(_ tokens: ArraySlice<CompletionToken>) -> Place {
    // f "…
    if let callee = callee(tokens) {
      return .positional(path: callee.steps, isMethod: callee.isMethod, position: 0)
    }
    guard let open = openBracket(tokens), let callee = callee(tokens[..<open.index]) else {
      return .nothing
    }
    switch open.text {
    case "(":
      return .positional(path: callee.steps, isMethod: callee.isMethod, position: open.commas)
    case "{":
      let inside = tokens[(open.index + 1)...]
      guard inside.count >= 2, inside.last?.text == "=",
        let name = inside.dropLast().last, name.kind == .name
      else { return .nothing }
      return .named(path: callee.steps, isMethod: callee.isMethod, name: name.text)
    default: return .nothing
    }
  }

  /// The innermost bracket that is open at the end, and the commas after it at its level.
  private static func openBracket(_ tokens: ArraySlice<CompletionToken>)
    -> (index: Int, text: String, commas: Int)?
  {
    var depth = 0
    var commas = 0
    for index in tokens.indices.reversed() where tokens[index].kind == .symbol {
      switch tokens[index].text {
      case ")", "}", "]": depth += 1
      case "(", "{", "[":
        if depth == 0 { return (index, tokens[index].text, commas) }
        depth -= 1
      case "," where depth == 0: commas += 1
      default: break
      }
    }
    return nil
  }

  /// The function that a bracket after these tokens would call.
  private static func callee(_ tokens: ArraySlice<CompletionToken>)
    -> (steps: [Step], isMethod: Bool)?
  {
    var tokens = tokens
    // f({ … }) calls f with the table, too.
    if tokens.last?.text == "(" { tokens = tokens.dropLast() }
    guard let path = path(endingAt: tokens), tokens.last?.kind == .name else { return nil }
    return (path.steps, path.isMethod)
  }

  /// The longest path of names, fields and constant indexes at the end of the tokens.
  private static func path(endingAt tokens: ArraySlice<CompletionToken>)
    -> (steps: [Step], isMethod: Bool)?
  {
    var tokens = tokens
    var steps: [Step] = []
    var isMethod = false
    while let last = tokens.popLast() {
      if last.kind == .name, !keywords.contains(last.text) {
        steps.append(.field(last.text))
        guard let link = tokens.last, link.text == "." || link.text == ":" else {
          return (steps.reversed(), isMethod)
        }
        if link.text == ":" {
          guard steps.count == 1 else { return nil }
          isMethod = true
        }
        tokens.removeLast()
      } else if last.text == "]", let key = tokens.popLast(), tokens.popLast()?.text == "[" {
        switch key.kind {
        case .number:
          guard let index = Int64(key.text) else { return nil }
          steps.append(.index(index))
        case .string: steps.append(.field(String(key.text.dropFirst().dropLast())))
        default: return nil
        }
      } else {
        return nil
      }
    }
    return nil
  }

  // ---- Tokens ----

  static let keywords: Set<String> = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
  ]

  /// The tokens of the line; nil inside a comment or a long string.
  private static func tokens(of line: [Character]) -> [CompletionToken]? {
    var tokens: [CompletionToken] = []
    var at = 0
    while at < line.count {
      let start = at
      let character = line[at]
      if character.isWhitespace {
        at += 1
        continue
      }
      if isNameStart(character) {
        while at < line.count, isNamePart(line[at]) { at += 1 }
        tokens.append(token(.name, line, start, at))
      } else if character.isASCII, character.isNumber {
        while at < line.count, isNamePart(line[at]) || line[at] == "." { at += 1 }
        tokens.append(token(.number, line, start, at))
      } else if character == "\"" || character == "'" {
        at += 1
        while at < line.count, line[at] != character { at += line[at] == "\\" ? 2 : 1 }
        guard at < line.count else {
          tokens.append(token(.openString, line, start, line.count))
          return tokens
        }
        at += 1
        tokens.append(token(.string, line, start, at))
      } else if character == "-", at + 1 < line.count, line[at + 1] == "-" {
        return nil
      } else if character == "[", at + 1 < line.count, line[at + 1] == "[" {
        guard let end = closeOfLongString(line, at + 2) else { return nil }
        at = end
        tokens.append(token(.string, line, start, at))
      } else {
        let isPair =
          at + 1 < line.count
          && ["..", "==", "~=", "<=", ">=", "::", "//"]
            .contains(String(line[at...(at + 1)]))
        at += isPair ? 2 : 1
        tokens.append(token(.symbol, line, start, at))
      }
    }
    return tokens
  }

  private static func closeOfLongString(_ line: [Character], _ start: Int) -> Int? {
    var at = start
    while at + 1 < line.count {
      if line[at] == "]", line[at + 1] == "]" { return at + 2 }
      at += 1
    }
    return nil
  }

  private static func token(
    _ kind: CompletionToken.Kind, _ line: [Character], _ start: Int, _ end: Int
  ) -> CompletionToken {
    CompletionToken(kind: kind, text: String(line[start..<min(end, line.count)]), start: start)
  }

  private static func isNameStart(_ character: Character) -> Bool {
    character == "_" || (character.isASCII && character.isLetter)
  }

  private static func isNamePart(_ character: Character) -> Bool {
    isNameStart(character) || (character.isASCII && character.isNumber)
  }
}
