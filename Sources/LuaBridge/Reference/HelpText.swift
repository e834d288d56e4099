// Invariant: no line of help is longer than `columns`, but for examples and words that are longer
// themselves.

/// Renders declarations for the prompt.
enum HelpText {
  private static let columns = 80

  static func overview(_ libraries: [LuaLibrary]) -> String {
    var text = ""
    for library in libraries where !library.doc.isEmpty || !library.functions.isEmpty {
      if !library.doc.isEmpty { text += library.doc + "\n" }
      text += table(library.functions.map { (brief($0, path: $0.name), $0.abstract) })
      if !library.types.isEmpty {
        text += "Objects, each with :help()\n"
        text += table(library.types.map { ($0.name, $0.abstract) })
      }
    }
    return text + "help(x) explains a function, an object or a name.\n"
  }

  static func describe(_ declared: DeclaredFunction) -> String {
    let function = declared.function
    var text = wrapped(signature(function, path: declared.path), by: 0, hanging: 4)
    text += wrapped(function.abstract, by: 2)
    if !function.discussion.isEmpty { text += paragraphs(function.discussion) }
    text += section("Arguments", function.parameters.map { ($0.name, parameterWords($0)) })
    text += section("Returns", function.returns.map { ($0.type.words, $0.doc) })
    text += section("Refuses with", function.errors.map { ($0.name, $0.when) })
    func list(_ title: String, _ items: [String]) -> String {
      items.isEmpty ? "" : wrapped("\(title): \(items.joined(separator: ", "))", by: 2, hanging: 4)
    }
    text += list("Kernel", function.kernel) + list("Rules", function.rules)
    if let example = function.example { text += "  Example\n" + indented(example, by: 4) }
    return text
  }

  static func describe(_ type: LuaType) -> String {
    var text = "\(type.name)\n" + paragraphs(type.doc)
    text += section("Fields", type.properties.map { ($0.name, propertyWords($0)) })
    text += section(
      "Methods", type.methods.map { (brief($0, path: ":" + $0.name), $0.abstract) })
    return text
  }

  static func properties(named name: String, in libraries: [LuaLibrary]) -> [String] {
    libraries.flatMap(\.types).flatMap { type in
      type.properties.filter { $0.name == name || "\(type.name):\($0.name)" == name }.map {
        "\(type.name).\($0.name)\n" + wrapped(propertyWords($0), by: 2)
      }
    }
  }

  /// `machine{ ram, cma }` or `vm:pin(from, count)`; optional parts in brackets.
  static func signature(_ function: LuaFunction, path: String) -> String {
    let names = function.parameters.map { parameter in
      let name = parameter.isRest ? parameter.name + "…" : parameter.name
      return parameter.isOptional ? "[\(name)]" : name
    }
    return switch function.style {
    case .positional: "\(path)(\(names.joined(separator: ", ")))"
    case .named: "\(path){ \(names.joined(separator: ", ")) }"
    }
  }

  /// The same for a list of functions: what is needed, and three dots for what may be given besides.
  private static func brief(_ function: LuaFunction, path: String) -> String {
    let whole = signature(function, path: path)
    guard whole.count > 44 else { return whole }
    let names = function.parameters.filter { !$0.isOptional }.map(\.name) + ["…"]
    return switch function.style {
    case .positional: "\(path)(\(names.joined(separator: ", ")))"
    case .named: "\(path){ \(names.joined(separator: ", ")) }"
    }
  }

  static func parameterWords(_ parameter: LuaParameter) -> String {
    var words = parameter.type.words
    if let fallback = parameter.defaultText {
      words += ", default \(fallback)"
    } else if parameter.isOptional {
      words += ", optional"
    }
    return parameter.doc.isEmpty ? words : "\(words). \(parameter.doc)"
  }

  private static func propertyWords(_ property: LuaProperty) -> String {
    let words = property.type.words + (property.set == nil ? "" : ", may be assigned")
    return property.doc.isEmpty ? words : "\(words). \(property.doc)"
  }

  private static func section(_ title: String, _ rows: [(String, String)]) -> String {
    rows.isEmpty ? "" : "  \(title)\n" + table(rows, by: 4)
  }

  private static func table(_ rows: [(String, String)], by margin: Int = 2) -> String {
    // A long left side gets a line of its own, so that one of them does not push all texts away.
    let width = rows.map(\.0.count).filter { $0 <= 28 }.max() ?? 0
    let column = margin + width + 2
    return rows.map { left, right in
      guard !right.isEmpty else { return wrapped(left, by: margin, hanging: margin + 2) }
      guard left.count <= width else {
        return wrapped(left, by: margin, hanging: margin + 2) + wrapped(right, by: column)
      }
      let text = wrapped(right, by: column)
      return String(repeating: " ", count: margin) + left
        + text.dropFirst(margin + left.count)
    }.joined()
  }

  /// Words in lines that begin `margin` columns in, all but the first `hanging`.
  private static func wrapped(_ text: String, by margin: Int, hanging: Int? = nil) -> String {
    var lines: [String] = []
    var line = String(repeating: " ", count: margin)
    var isEmpty = true
    for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
      if !isEmpty, line.count + 1 + word.count > columns {
        lines.append(line)
        line = String(repeating: " ", count: hanging ?? margin)
        isEmpty = true
      }
      line += (isEmpty ? "" : " ") + word
      isEmpty = false
    }
    return (lines + [line]).joined(separator: "\n") + "\n"
  }

  /// Paragraphs are wrapped anew; lines that are set in stand as they are.
  private static func paragraphs(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.isEmpty ? "\n" : line.hasPrefix(" ") ? "  \(line)\n" : wrapped(String(line), by: 2)
    }.joined()
  }

  private static func indented(_ text: String, by count: Int = 2) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.isEmpty ? "" : String(repeating: " ", count: count) + line
    }.joined(separator: "\n").trimmingEnd() + "\n"
  }
}

extension String {
  fileprivate func trimmingEnd() -> String {
    var text = self
    while text.last == "\n" { text.removeLast() }
    return text
  }
}
