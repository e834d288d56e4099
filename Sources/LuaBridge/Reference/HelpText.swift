// The words of help. Plain text, at most about 80 columns.

/// Renders declarations for the prompt.
enum HelpText {
  static func overview(_ libraries: [LuaLibrary]) -> String {
    var text = ""
    for library in libraries where !library.doc.isEmpty || !library.functions.isEmpty {
      if !library.doc.isEmpty { text += library.doc + "\n" }
      text += table(library.functions.map { (signature($0, path: $0.name), $0.abstract) })
      if !library.types.isEmpty {
        text += "Objects, each with :help()\n"
        text += table(library.types.map { ($0.name, $0.abstract) })
      }
    }
    return text + "help(x) explains a function, an object or a name.\n"
  }

  static func describe(_ declared: DeclaredFunction) -> String {
    let function = declared.function
    var text = signature(function, path: declared.path) + "\n  \(function.abstract)\n"
    if !function.discussion.isEmpty { text += indented(function.discussion) }
    text += section("Arguments", function.parameters.map { ($0.name, parameterWords($0)) })
    text += section("Returns", function.returns.map { ($0.type.words, $0.doc) })
    text += section("Refuses with", function.errors.map { ($0.name, $0.when) })
    if !function.kernel.isEmpty { text += "  Kernel: \(function.kernel.joined(separator: ", "))\n" }
    if !function.rules.isEmpty { text += "  Rules: \(function.rules.joined(separator: ", "))\n" }
    if let example = function.example { text += "  Example\n" + indented(example, by: 4) }
    return text
  }

  static func describe(_ type: LuaType) -> String {
    var text = "\(type.name)\n" + indented(type.doc)
    text += section("Fields", type.properties.map { ($0.name, propertyWords($0)) })
    text += section(
      "Methods", type.methods.map { (signature($0, path: ":" + $0.name), $0.abstract) })
    return text
  }

  static func properties(named name: String, in libraries: [LuaLibrary]) -> [String] {
    libraries.flatMap(\.types).flatMap { type in
      type.properties.filter { $0.name == name || "\(type.name):\($0.name)" == name }.map {
        "\(type.name).\($0.name)\n  \(propertyWords($0))\n"
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
    rows.isEmpty ? "" : "  \(title)\n" + indented(table(rows))
  }

  private static func table(_ rows: [(String, String)]) -> String {
    // A long left side gets a line of its own, so that one of them does not push all texts away.
    let width = rows.map(\.0.count).filter { $0 <= 28 }.max() ?? 0
    return rows.map { left, right in
      guard !right.isEmpty else { return "  \(left)\n" }
      guard left.count <= width else {
        return "  \(left)\n  \(String(repeating: " ", count: width))  \(right)\n"
      }
      return "  \(left)\(String(repeating: " ", count: width - left.count))  \(right)\n"
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
