// The declaration of a Lua function: one value from which its registration, its argument checks,
// its help, its completion and its reference entry all come.

/// One parameter of a ``LuaFunction``.
public struct LuaParameter: Sendable {
  public let name: String
  public let type: LuaParameterType
  /// Whether it may be left out or nil.
  public let isOptional: Bool
  /// What a missing argument means, in words for help; the body applies it.
  public let defaultText: String?
  /// Whether it takes all remaining arguments, none included.
  ///
  /// Only for the last parameter.
  public let isRest: Bool
  public let doc: String

  public init(
    _ name: String, _ type: LuaParameterType, optional: Bool = false,
    default defaultText: String? = nil,
    rest: Bool = false, _ doc: String = ""
  ) {
    self.name = name
    self.type = type
    self.isOptional = optional || defaultText != nil || rest
    self.defaultText = defaultText
    self.isRest = rest
    self.doc = doc
  }
}

/// One result of a ``LuaFunction``.
public struct LuaResult: Sendable {
  public let type: LuaParameterType
  public let doc: String

  public init(_ type: LuaParameterType, _ doc: String = "") {
    self.type = type
    self.doc = doc
  }
}

/// A refusal that a function may return as `nil, err`.
public struct LuaErrno: Sendable {
  /// The errno name, such as `ENOMEM`.
  public let name: String
  public let when: String

  public init(_ name: String, _ when: String) {
    self.name = name
    self.when = when
  }
}

/// A declared function, method or property accessor.
public struct LuaFunction: Sendable {
  /// The work of a function.
  ///
  /// It fails by throwing, which becomes a Lua error at the caller's line.
  ///
  /// Sendable, so that declarations can be global constants; what it works on it gets from the call.
  public typealias Body = @Sendable (inout LuaCall) throws(LuaFailure) -> Void

  public enum Style: Sendable {
    /// Called as `f(a, b)`.
    case positional
    /// Called as `f{ a = …, b = … }`, or, when the first field is a string, with that alone.
    case named
  }

  /// Its name; a dot puts a global function into a table: `"pages.count"`.
  public let name: String
  public let style: Style
  public let parameters: [LuaParameter]
  public let returns: [LuaResult]
  public let errors: [LuaErrno]
  /// The first line says what it does; more may follow after an empty line.
  public let doc: String
  /// The kernel functions it models.
  public let kernel: [String]
  /// The rules of the specification it follows, such as `A3.8`.
  public let rules: [String]
  /// Lua source that shows it, run as a test by ``LuaLibrary/examples``.
  ///
  /// A line that ends in `--> text` promises what the expression before it displays.
  public let example: String?
  public let body: Body

  public init(
    _ name: String, _ style: Style = .positional, _ parameters: [LuaParameter] = [],
    returns: [LuaResult] = [], errors: [LuaErrno] = [], doc: String, kernel: [String] = [],
    rules: [String] = [], example: String? = nil, body: @escaping Body
  ) {
    self.name = name
    self.style = style
    self.parameters = parameters
    self.returns = returns
    self.errors = errors
    self.doc = doc
    self.kernel = kernel
    self.rules = rules
    self.example = example
    self.body = body
  }

  /// The first line of the documentation.
  public var abstract: String { doc.split(separator: "\n").first.map(String.init) ?? "" }

  /// What follows the first line.
  public var discussion: String {
    let lines = doc.split(separator: "\n", omittingEmptySubsequences: false).dropFirst()
    return String(lines.joined(separator: "\n").drop { $0 == "\n" })
  }
}
