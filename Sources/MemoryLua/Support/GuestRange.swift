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
        "length", .size(), default: "up to the end of the RAM",
        "How much, rounded up to whole pages."),
    ]
  }

  /// The kernel function that a range is meant for: they answer differently to what cannot be.
  enum Callee {
    /// A walk, which begins with the page of its start (rule P3.11).
    case pin
    /// An access, or MADV_POPULATE_….
    case fault
    case munmap
    /// madvise and mprotect.
    case change
    case mlock

    fileprivate var wantsAlignment: Bool { self == .munmap || self == .change }

    fileprivate var unmapped: Errno {
      switch self {
      case .pin, .fault: .EFAULT
      case .munmap: .EINVAL
      case .change, .mlock: .ENOMEM
      }
    }

    fileprivate var rule: String { self == .pin || self == .fault ? "P3.11" : "P2.2" }
  }

  /// The pages of the arguments at `position` and behind it, or what the kernel says to them.
  ///
  /// - Returns: An empty range where the kernel has nothing to do.
  static func pages(
    _ call: borrowing LuaCall, _ position: Int, _ object: MachineObject, _ space: Int,
    function: String, for callee: Callee
  ) throws(LuaFailure) -> Result<Range<Int>, Refusal> {
    let machine = object.machine.spaces[space]
    let shift = object.machine.geometry.pageShift
    func refuse(_ errno: Errno, _ why: String) -> Result<Range<Int>, Refusal> {
      .failure(Refusal(errno, why, rule: callee.rule))
    }
    var page = machine.ram.lowerBound
    var inside = 0
    if call.isGiven(position) {
      let value = call.integer(position)
      let text = "0x" + String(value, radix: 16)
      inside = value & (1 << shift - 1)
      if inside != 0, callee.wantsAlignment {
        return refuse(
          .EINVAL, "\(text) is inside a page; use a multiple of 0x\(String(1 << shift, radix: 16))")
      }
      page = value >> shift
      if page >= AddressSpace.endPage {
        return refuse(
          callee.unmapped, "\(text) is behind user space, which ends at 0x800000000000")
      }
      if page < machine.ram.count {
        page += machine.ram.lowerBound
      } else if page < machine.ram.lowerBound, callee != .munmap, machine.area(page) == nil {
        return refuse(
          callee.unmapped,
          "\(text) is neither an offset into the RAM of "
            + "\(formatSize(machine.ram.count << shift)) nor a mapped address")
      }
    }
    guard call.isGiven(position + 1) else {
      if machine.ram.contains(page) { return .success(page..<machine.ram.upperBound) }
      if let area = machine.area(page) { return .success(page..<area.end) }
      throw LuaFailure(
        "bad argument 'length' to '\(function)' (nothing is mapped at "
          + "0x\(String(page << shift, radix: 16)), so a length is needed)")
    }
    let length = call.integer(position + 1)
    if length == 0 {
      switch callee {
      case .pin:
        return refuse(
          .EINVAL, "a length of 0: pin_user_pages returns 0, and those who call it refuse that")
      case .munmap: return refuse(.EINVAL, "a length of 0")
      case .fault, .change, .mlock: return .success(page..<page)
      }
    }
    let room = (AddressSpace.endPage - page) << shift
    guard length <= room - inside else {
      return refuse(
        callee.unmapped,
        "0x\(String(page << shift, radix: 16)) + \(length) ends behind user space, at 0x800000000000"
      )
    }
    return .success(page..<page + (inside + length - 1) >> shift + 1)
  }

  /// The pages of the arguments at `position` and behind it, for what only looks.
  static func pages(
    _ call: borrowing LuaCall, _ position: Int, _ object: MachineObject, _ space: Int,
    function: String
  ) throws(LuaFailure) -> Range<Int> {
    let start = try page(call, position, object, space, function: function)
    let shift = object.machine.geometry.pageShift
    if call.isGiven(position + 1) {
      guard call.integer(position + 1) > 0 else {
        throw LuaFailure("bad argument 'length' to '\(function)' (0 bytes; give 1 or more)")
      }
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
