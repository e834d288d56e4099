internal import LuaBridge
internal import MemoryExploration
internal import MemoryModel

/// Checks that need the machine: the declaration knows types and ranges, not what exists.
enum Arguments {
  /// A pfn given as a number or as a page of this machine.
  static func pfn(
    _ value: LuaValue, _ object: MachineObject, function: String, name: String = "page"
  ) throws(LuaFailure) -> PFN {
    switch value {
    case .object(let handle)
    where handle.typeName == "page" || handle.typeName == "pageblock" || handle.typeName == "folio":
      guard handle.object === object else {
        throw LuaFailure(
          "bad argument #1 '\(name)' to '\(function)' (the page belongs to another machine)")
      }
      return PFN(
        handle.typeName == "pageblock"
          ? handle.index << object.machine.geometry.pageblockOrder : handle.index)
    default:
      guard let number = value.integer else {
        throw LuaFailure(
          "bad argument #1 '\(name)' to '\(function)' (expected a page or a pfn, got "
            + "\(ByteSize.describe(value)))")
      }
      let end = object.machine.memory.last?.end ?? 0
      guard number >= 0, number < end else {
        throw LuaFailure(
          "bad argument #1 '\(name)' to '\(function)' (pfn \(hex(number)) is outside memory, which "
            + "ends at 0x\(String(end, radix: 16)))")
      }
      return PFN(Int(number))
    }
  }

  private static func hex(_ number: Int64) -> String {
    number < 0 ? "\(number)" : "0x" + String(number, radix: 16)
  }

  static func cpu(_ cpu: Int, _ object: MachineObject) throws(LuaFailure) -> Int {
    guard cpu < object.machine.cpuCount else {
      throw LuaFailure(
        "there is no CPU \(cpu); this machine has 0 to \(object.machine.cpuCount - 1)")
    }
    return cpu
  }

  static func free(
    _ pfn: PFN, order: Int?, _ object: MachineObject, _ call: borrowing LuaCall, function: String
  ) throws(LuaFailure) {
    func bad(_ message: String) -> LuaFailure {
      LuaFailure("bad argument #1 'page' to '\(function)' (\(message))")
    }
    if OperationRunner.isInTask(object, call) {
      let step = Step("a2", "__free_pages", "free the block at \(pfn)")
      let outcome = try OperationRunner.atomic(object, call, function, step) { machine in
        do throws(MemoryError) {
          try machine.freePages(pfn, order: order ?? machine.frames.head(pfn).order)
          return .done(0)
        } catch {
          return .refused(Refusal(.EINVAL, error.message, rule: "A3.14"))
        }
      }
      if case .refused(let refusal) = outcome { throw bad(refusal.message) }
      return
    }
    do {
      try object.machine.freePages(pfn, order: order ?? object.machine.frames.head(pfn).order)
      object.machine.beginOperation()
    } catch {
      throw bad(error.message)
    }
  }
}
