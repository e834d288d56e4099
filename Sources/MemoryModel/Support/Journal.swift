// Invariant: the bytes in front of `used` are records, the last one right in front of it; undoing them
// from the last to the first brings back every table as it was when the first was written.

/// The old values of what was written to the tables of a machine, so that a search can take steps back.
///
/// A record is the old bytes, rounded up to words, then the address and the size. Taking back costs
/// what was written, not what the machine holds.
@safe struct Journal {
  @safe struct Header {
    var bytes: UnsafeMutableRawPointer
    var used = 0
    var capacity: Int
  }

  /// What an arena points at; it stays at its place while the buffer grows.
  let header: UnsafeMutablePointer<Header>

  /// The bit of a record's size that says that it is of a table that counts or traces only.
  static let isStatistic: UInt64 = 1 << 63

  init() {
    unsafe header = .allocate(capacity: 1)
    let capacity = 1 << 16
    unsafe header.initialize(
      to: Header(bytes: .allocate(byteCount: capacity, alignment: 16), capacity: capacity))
  }

  func free() {
    unsafe header.pointee.bytes.deallocate()
    unsafe header.deallocate()
  }

  /// Notes the bytes at an address, which are about to be written.
  @inline(never)
  static func note(
    _ header: UnsafeMutablePointer<Header>, _ address: UnsafeMutableRawPointer, _ count: Int,
    isStatistic: Bool
  ) {
    let room = (count + 7) & ~7 + 16
    if unsafe header.pointee.capacity - header.pointee.used < room {
      let capacity = unsafe max(header.pointee.capacity * 2, header.pointee.used + room)
      let bytes = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
      unsafe bytes.copyMemory(from: header.pointee.bytes, byteCount: header.pointee.used)
      unsafe header.pointee.bytes.deallocate()
      unsafe header.pointee.bytes = bytes
      unsafe header.pointee.capacity = capacity
    }
    let record = unsafe header.pointee.bytes + header.pointee.used
    unsafe record.copyMemory(from: address, byteCount: count)
    let tail = unsafe record + (room - 16)
    unsafe tail.storeBytes(of: UInt64(UInt(bitPattern: address)), as: UInt64.self)
    unsafe (tail + 8).storeBytes(
      of: UInt64(count) | (isStatistic ? Self.isStatistic : 0), as: UInt64.self)
    unsafe header.pointee.used += room
  }

  var position: Int { unsafe header.pointee.used }

  /// Takes back every write behind a position.
  func rollBack(to position: Int) {
    unsafe forEachRecord(downTo: position) { (old, address, count, _) in
      unsafe address.copyMemory(from: old, byteCount: count)
    }
    unsafe header.pointee.used = position
  }

  /// Forgets what was noted behind a position, and keeps what was written.
  func forget(to position: Int) { unsafe header.pointee.used = position }

  /// How the sum over all tables of a hash of address and content has changed since a position.
  ///
  /// Tables that only count or trace are left out. What is written and then written back adds nothing,
  /// so equal states have equal sums, whichever way led there.
  func digestChange(since position: Int, _ seen: inout WriteSet) -> UInt64 {
    seen.clear()
    var sum: UInt64 = 0
    // From the last record to the first: the oldest value of each address is met last, so each
    // earlier one is replaced.
    unsafe forEachRecord(downTo: position) { old, address, count, isStatistic in
      if isStatistic { return }
      let before = unsafe Self.hash(UInt(bitPattern: address), UnsafeRawPointer(old), count)
      if let later = seen.exchange(UInt(bitPattern: address), before) {
        sum &+= later
        sum &-= before
      } else {
        sum &+= unsafe Self.hash(UInt(bitPattern: address), UnsafeRawPointer(address), count)
        sum &-= before
      }
    }
    return sum
  }

  private func forEachRecord(
    downTo position: Int,
    _ body: (UnsafeRawPointer, UnsafeMutableRawPointer, Int, _ isStatistic: Bool) -> Void
  ) {
    var end = unsafe header.pointee.used
    let bytes = unsafe header.pointee.bytes
    while end > position {
      let address = unsafe (bytes + end - 16).loadUnaligned(as: UInt64.self)
      let size = unsafe (bytes + end - 8).loadUnaligned(as: UInt64.self)
      let count = Int(size & ~Self.isStatistic)
      end -= (count + 7) & ~7 + 16
      guard let target = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address)) else { continue }
      unsafe body(UnsafeRawPointer(bytes + end), target, count, size & Self.isStatistic != 0)
    }
  }

  private static func hash(_ address: UInt, _ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
    var value = UInt64(address) &* 0x9E37_79B9_7F4A_7C15
    var offset = 0
    while offset + 8 <= count {
      value = mix(unsafe value ^ (bytes + offset).loadUnaligned(as: UInt64.self))
      offset += 8
    }
    while offset < count {
      value = mix(unsafe value ^ UInt64((bytes + offset).load(as: UInt8.self)) &+ 0x5851_F42D)
      offset += 1
    }
    return value
  }

  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 {
    let high = (value ^ value >> 32) &* 0xD6E8_FEB8_6659_FD93
    return high ^ high >> 29
  }
}

/// Addresses with the hash of their oldest value: a small table with open addressing.
struct WriteSet {
  private var keys = [UInt](repeating: 0, count: 64)
  private var values = [UInt64](repeating: 0, count: 64)
  private var used: [Int] = []

  mutating func clear() {
    for slot in used { keys[slot] = 0 }
    used.removeAll(keepingCapacity: true)
  }

  /// Sets the value of a key.
  ///
  /// - Returns: The value that it had.
  mutating func exchange(_ key: UInt, _ value: UInt64) -> UInt64? {
    if used.count * 2 >= keys.count { grow() }
    let slot = find(key)
    if keys[slot] == key {
      defer { values[slot] = value }
      return values[slot]
    }
    keys[slot] = key
    values[slot] = value
    used.append(slot)
    return nil
  }

  private func find(_ key: UInt) -> Int {
    let mask = keys.count - 1
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    while keys[slot] != 0, keys[slot] != key { slot = (slot + 1) & mask }
    return slot
  }

  private mutating func grow() {
    let old = used.map { (keys[$0], values[$0]) }
    keys = Array(repeating: 0, count: keys.count * 2)
    values = Array(repeating: 0, count: values.count * 2)
    used.removeAll(keepingCapacity: true)
    for (key, value) in old {
      let slot = find(key)
      keys[slot] = key
      values[slot] = value
      used.append(slot)
    }
  }
}
