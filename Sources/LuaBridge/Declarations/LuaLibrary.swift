// A library: the declared types and global functions of one host.

/// What a session offers to scripts beyond Lua's own library.
public struct LuaLibrary: Sendable {
  public let name: String
  public let doc: String
  public let types: [LuaType]
  public let functions: [LuaFunction]
  /// Keys of tables whose integers the prompt shows in hex.
  public let hexKeys: [String]

  public init(
    _ name: String, doc: String, types: [LuaType] = [], functions: [LuaFunction] = [],
    hexKeys: [String] = []
  ) {
    self.name = name
    self.doc = doc
    self.types = types
    self.functions = functions
    self.hexKeys = hexKeys
  }

  public func type(named name: String) -> LuaType? { types.first { $0.name == name } }

  /// Every example, with the name of what it shows: `machine` or `machine:pin`.
  public var examples: [(name: String, source: String)] {
    let global = functions.compactMap { function in
      function.example.map { (name: function.name, source: $0) }
    }
    let methods = types.flatMap { type in
      type.methods.compactMap { method in
        method.example.map { (name: "\(type.name):\(method.name)", source: $0) }
      }
    }
    return global + methods
  }
}
