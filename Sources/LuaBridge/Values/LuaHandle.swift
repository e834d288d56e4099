// What a host object names: a Swift object, and for parts of it an index and a generation.

/// A host object as a Swift value.
///
/// A thing that is a class of its own is named by its object alone. A thing that lives in another's
/// table (a zone of a machine) is named by the owner, its index, and a generation that tells it
/// from a later tenant of the same place.
public struct LuaHandle {
  /// The name of the declared type.
  public let typeName: String
  public let object: AnyObject
  public let index: Int
  public let generation: UInt32

  /// A handle of the declared type `typeName`.
  ///
  /// - Precondition: `index` is not negative.
  public init(_ typeName: String, _ object: AnyObject, index: Int = 0, generation: UInt32 = 0) {
    precondition(index >= 0)
    self.typeName = typeName
    self.object = object
    self.index = index
    self.generation = generation
  }

  /// The object as its class.
  ///
  /// - Precondition: It is of that class, as its type's declaration promises.
  public func owner<Object: AnyObject>(as type: Object.Type = Object.self) -> Object {
    guard let object = object as? Object else {
      preconditionFailure("a \(typeName) does not hold a \(Object.self)")
    }
    return object
  }
}
