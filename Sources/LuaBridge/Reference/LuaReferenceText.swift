// The reference as files: Markdown for people, annotations for Lua editors.
//
// Both depend on the declarations alone and on nothing that differs between runs, so a repository
// can hold them and compare.

/// Renders a library's reference.
public enum LuaReferenceText {
  /// The library as a Markdown page.
  public static func markdown(_ library: LuaLibrary) -> String {
    var text = "# \(library.name)\n\n\(library.doc)\n"
    text += "\n## Functions\n" + library.functions.map { section($0, path: $0.name) }.joined()
    for type in library.types {
      text += "\n## \(type.name)\n\n\(type.doc)\n"
      if !type.properties.isEmpty {
        text += "\n| Field | Type | |\n|---|---|---|\n"
        for property in type.properties {
          let access = property.set == nil ? "" : " May be assigned."
          text += "| `\(property.name)` | \(cell(property.type.words)) | "
          text += "\(cell(property.doc))\(access) |\n"
        }
      }
      text += type.methods.map { section($0, path: "\(type.name):\($0.name)") }.joined()
    }
    return text
  }

  private static func section(_ function: LuaFunction, path: String) -> String {
    var text = "\n### `\(HelpText.signature(function, path: path))`\n\n\(function.doc)\n"
    if !function.parameters.isEmpty {
      text += "\n| Argument | Type | |\n|---|---|---|\n"
      for parameter in function.parameters {
        let fallback =
          parameter.defaultText.map { " Default: \($0)." }
          ?? (parameter.isOptional ? " Optional." : "")
        text += "| `\(parameter.name)` | \(cell(parameter.type.words)) | "
        text += "\(cell(parameter.doc))\(cell(fallback)) |\n"
      }
    }
    for result in function.returns {
      text += "\nReturns \(result.type.words)" + (result.doc.isEmpty ? ".\n" : ": \(result.doc)\n")
    }
    for error in function.errors {
      text += "\nReturns `nil, err` with `err.errno == \"\(error.name)\"`: \(error.when)\n"
    }
    if !function.kernel.isEmpty {
      text += "\nKernel: " + function.kernel.map { "`\($0)`" }.joined(separator: ", ") + "\n"
    }
    if !function.rules.isEmpty { text += "\nRules: \(function.rules.joined(separator: ", "))\n" }
    if let example = function.example { text += "\n```lua\n\(example)\n```\n" }
    return text
  }

  private static func cell(_ text: String) -> String {
    text.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
      .split(separator: "\n").joined(separator: " ")
  }

  /// The library as a `---@meta` file that Lua language servers read.
  public static func meta(_ library: LuaLibrary) -> String {
    var text = "---@meta \(library.name)\n"
    for type in library.types {
      text += "\n" + comment(type.doc) + "---@class \(type.name)\n"
      for property in type.properties {
        text += "---@field \(property.name) \(property.type.annotation) \(oneLine(property.doc))\n"
      }
      text += "local \(type.name) = {}\n"
      text += type.methods.map { declaration($0, path: "\(type.name):\($0.name)") }.joined()
    }
    var tables: [String] = []
    for function in library.functions {
      // A dotted name needs its tables first, each once.
      let parts = function.name.split(separator: ".").dropLast()
      for count in 0..<parts.count {
        let table = parts[...(parts.startIndex + count)].joined(separator: ".")
        if !tables.contains(table) {
          tables.append(table)
          text += "\n\(table) = {}\n"
        }
      }
      text += declaration(function, path: function.name)
    }
    return text
  }

  private static func declaration(_ function: LuaFunction, path: String) -> String {
    var text = "\n"
    var names = function.parameters.map { $0.isRest ? "..." : $0.name }
    var parameters = ""
    switch function.style {
    case .positional:
      for parameter in function.parameters {
        let name = parameter.isRest ? "..." : parameter.name + (parameter.isOptional ? "?" : "")
        parameters += "---@param \(name) \(parameter.type.annotation) \(oneLine(parameter.doc))\n"
      }
    case .named:
      let fields = path.map { $0 == ":" ? "." : $0 }
      let className = String(fields) + ".fields"
      text += "---@class \(className)\n"
      for parameter in function.parameters {
        let name = parameter.name + (parameter.isOptional ? "?" : "")
        text += "---@field \(name) \(parameter.type.annotation) \(oneLine(parameter.doc))\n"
      }
      text += "\n"
      let optional = function.parameters.allSatisfy(\.isOptional) ? "?" : ""
      parameters += "---@param fields\(optional) \(className)\n"
      names = ["fields"]
    }
    text += comment(function.doc) + parameters
    for (position, result) in function.returns.enumerated() {
      let refusable = position == 0 && !function.errors.isEmpty ? "?" : ""
      text += "---@return \(result.type.annotation)\(refusable) # \(oneLine(result.doc))\n"
    }
    return text + "function \(path)(\(names.joined(separator: ", "))) end\n"
  }

  private static func comment(_ text: String) -> String {
    text.isEmpty
      ? ""
      : text.split(separator: "\n", omittingEmptySubsequences: false).map { "---\($0)\n" }.joined()
  }

  private static func oneLine(_ text: String) -> String {
    text.split(separator: "\n").joined(separator: " ")
  }
}
