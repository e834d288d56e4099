// Copying values out of the Lua stack, with reads that cannot raise.

internal import CLuaGate

/// Reads values in the slots of one Lua thread.
@safe struct StackReader {
  let core: SessionCore
  let thread: OpaquePointer

  /// Tables nested deeper are read as empty: a cycle would not end.
  static let deepest = 16

  func value(at index: Int32, depth: Int = 0) -> LuaValue {
    unsafe value(gate_read(thread, index), at: index, depth: depth)
  }

  func value(_ raw: gate_value, at index: Int32, depth: Int = 0) -> LuaValue {
    switch unsafe raw.kind {
    case GATE_NIL: return .nil
    case GATE_BOOLEAN: return unsafe .boolean(raw.integer != 0)
    case GATE_INTEGER: return unsafe .integer(raw.integer)
    case GATE_NUMBER: return unsafe .number(Double(bitPattern: UInt64(bitPattern: raw.integer)))
    case GATE_STRING: return unsafe .string(string(raw))
    case GATE_TABLE:
      return depth < Self.deepest ? table(at: index, depth: depth) : .table(LuaTable())
    case GATE_FUNCTION: return function(at: index)
    case GATE_OBJECT:
      guard let object = unsafe raw.pointer?.assumingMemoryBound(to: gate_object.self),
        let handle = unsafe core.handle(of: object.pointee)
      else { return .other("closed object") }
      return .object(handle)
    default: return .other("other")
    }
  }

  func string(_ raw: gate_value) -> String {
    guard let bytes = unsafe raw.pointer else { return "" }
    return unsafe String(
      decoding: UnsafeRawBufferPointer(start: bytes, count: Int(raw.integer)), as: UTF8.self)
  }

  private func function(at index: Int32) -> LuaValue {
    let slot = unsafe gate_reference(thread, index)
    return slot > 0 ? .function(LuaReference(core: core, slot: slot)) : .other("function")
  }

  private func table(at index: Int32, depth: Int) -> LuaValue {
    var integers: [(Int64, LuaValue)] = []
    var table = LuaTable()
    let top = unsafe gate_top(thread)
    let index = index > 0 ? index : top + 1 + index
    guard unsafe gate_next_begin(thread) else { return .table(table) }
    while unsafe gate_next(thread, index) {
      let slot = unsafe gate_top(thread)
      let key = unsafe gate_read(thread, slot - 1)
      if unsafe key.kind == GATE_INTEGER {
        unsafe integers.append((key.integer, value(at: slot, depth: depth + 1)))
      } else if unsafe key.kind == GATE_STRING {
        unsafe table.fields.append((string(key), value(at: slot, depth: depth + 1)))
      }
      unsafe gate_next_pop(thread)
    }
    unsafe gate_set_top(thread, top)
    // Lua meets string keys in an order that differs between runs.
    table.fields.sort { $0.name < $1.name }
    integers.sort { $0.0 < $1.0 }
    for (position, element) in integers {
      guard position == table.elements.count + 1 else { continue }
      table.elements.append(element)
    }
    return .table(table)
  }
}
