internal import LuaBridge
internal import MemoryGuests
internal import MemoryModel
internal import MemoryRender

/// The pages that `from` and `length` mean for a guest.
enum GuestRange {
  static func parameters(_ default: String = "all of the RAM") -> [LuaParameter] {
    [
      LuaParameter(
        "from", .size(), default: "the start of the RAM",
        "An offset into the guest's RAM, such as \"2M\", or an address."),
      LuaParameter(
        "length", .size(1...Int64.max), default: "up to the end of the RAM",
        "How much, rounded up to whole pages."),
    ]
  }

  /// The pages of the arguments at `position` and behind it.
  static func pages(
    _ call: borrowing LuaCall, _ position: Int, _ object: MachineObject, _ space: Int,
    function: String
  ) throws(LuaFailure) -> Range<Int> {
    let start = try page(call, position, object, space, function: function)
    let shift = object.machine.geometry.pageShift
    if call.isGiven(position + 1) {
      let pages = (call.integer(position + 1) - 1) >> shift + 1
      guard pages <= AddressSpace.endPage - start else {
        throw LuaFailure(
          "bad argument 'length' to '\(function)' ("
            + "0x\(String(start << shift, radix: 16)) + \(call.integer(position + 1)) "
            + "ends behind user space, at 0x800000000000)")
      }
      return start..<start + pages
    }
    let ram = object.machine.spaces[space].ram
    if ram.contains(start) { return start..<ram.upperBound }
    if let area = object.machine.spaces[space].area(start) { return start..<area.end }
    throw LuaFailure(
      "bad argument 'length' to '\(function)' (nothing is mapped at "
        + "0x\(String(start << shift, radix: 16)), so a length is needed)")
  }

  /// The page that an offset or an address means.
  static func page(
    _ call: borrowing LuaCall, _ position: Int, _ object: MachineObject, _ space: Int,
    function: String, name: String = "from"
  ) throws(LuaFailure) -> Int {
    let ram = object.machine.spaces[space].ram
    guard call.isGiven(position) else { return ram.lowerBound }
    let shift = object.machine.geometry.pageShift
    let value = call.integer(position)
    guard value & (1 << shift - 1) == 0 else {
      throw LuaFailure(
        "bad argument '\(name)' to '\(function)' (0x\(String(value, radix: 16)) is inside a page; "
          + "use a multiple of 0x\(String(1 << shift, radix: 16)))")
    }
    let page = value >> shift
    if page < ram.count { return ram.lowerBound + page }
    guard page < AddressSpace.endPage else {
      throw LuaFailure(
        "bad argument '\(name)' to '\(function)' (0x\(String(value, radix: 16)) is behind user "
          + "space, which ends at 0x800000000000)")
    }
    if page < ram.lowerBound, object.machine.spaces[space].area(page) == nil {
      throw LuaFailure(
        "bad argument '\(name)' to '\(function)' (0x\(String(value, radix: 16)) is neither an "
          + "offset into the RAM of \(formatSize(ram.count << shift)) nor a mapped address)")
    }
    return page
  }
}
