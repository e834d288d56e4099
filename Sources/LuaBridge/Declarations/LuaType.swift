// The declaration of a type of host objects.

/// A field of an object that is computed when it is read.
public struct LuaProperty: Sendable {
  public let name: String
  public let type: LuaParameterType
  public let doc: String
  public let get: LuaFunction.Body
  /// Receives the new value as argument 0, checked against `type`.
  ///
  /// Nil for a read-only property.
  public let set: LuaFunction.Body?

  public init(
    _ name: String, _ type: LuaParameterType, _ doc: String = "",
    get: @escaping LuaFunction.Body, set: LuaFunction.Body? = nil
  ) {
    self.name = name
    self.type = type
    self.doc = doc
    self.get = get
    self.set = set
  }
}

/// A declared type of host objects.
///
/// Every type also answers `:help()`. Objects of a type without properties and without `element`
/// find their methods at the speed of plain Lua tables; the others need one more C call.
public struct LuaType: Sendable {
  public let name: String
  public let doc: String
  public let objectClass: AnyObject.Type
  public let properties: [LuaProperty]
  public let methods: [LuaFunction]
  /// The text at the prompt and of `tostring`.
  ///
  /// Without it: `zone #3`.
  public let display: (@Sendable (LuaHandle) -> String)?
  /// Whether what the handle names still exists.
  ///
  /// A handle that does not is an error in Lua.
  public let isLive: (@Sendable (LuaHandle) -> Bool)?
  /// Answers `a == b`.
  ///
  /// Without it two handles are equal when all their parts are.
  public let equals: (@Sendable (LuaHandle, LuaHandle) -> Bool)?
  /// Answers `a < b`.
  public let less: (@Sendable (LuaHandle, LuaHandle) -> Bool)?
  /// Answers `#a`.
  public let length: (@Sendable (LuaHandle) -> Int)?
  /// Answers `a[i]` for a number `i`, which is argument 0 of the body.
  public let element: LuaFunction.Body?
  /// Runs when a `<close>` variable leaves its scope.
  public let close: LuaFunction.Body?

  public init<Object: AnyObject>(
    _ name: String, _ objectClass: Object.Type, doc: String, properties: [LuaProperty] = [],
    methods: [LuaFunction] = [], display: (@Sendable (LuaHandle) -> String)? = nil,
    isLive: (@Sendable (LuaHandle) -> Bool)? = nil,
    equals: (@Sendable (LuaHandle, LuaHandle) -> Bool)? = nil,
    less: (@Sendable (LuaHandle, LuaHandle) -> Bool)? = nil,
    length: (@Sendable (LuaHandle) -> Int)? = nil,
    element: LuaFunction.Body? = nil, close: LuaFunction.Body? = nil
  ) {
    self.name = name
    self.doc = doc
    self.objectClass = objectClass
    self.properties = properties
    self.methods = methods
    self.display = display
    self.isLive = isLive
    self.equals = equals
    self.less = less
    self.length = length
    self.element = element
    self.close = close
  }

  public var abstract: String { doc.split(separator: "\n").first.map(String.init) ?? "" }
}
