// What /proc/kpageflags tells about each frame, one byte a frame. A frame outside of the file is
// `.absent`.

internal import MemoryModel

/// The class of every frame of a host.
struct PageClasses {
  enum Class: UInt8 {
    /// No `struct page`: not memory.
    case absent = 0
    case buddy
    case reserved
    /// No flag at all: a kernel page, a page on a per-CPU list, or one that was never handed out.
    case flagless
    case anonLRU
    case anon
    case fileLRU
    case file
    case slab
    case pageTable
    case hugetlb
    case kernel
    /// Given back to a hypervisor, or offline.
    case offline
    /// Memory of which nothing is known, in a capture without page flags.
    case unknown
    /// Managed by the zone, so somebody's, but nothing tells whose.
    case held

    /// The class letter of ``FrameState/owner``; nil for frames that nobody holds.
    var letter: UInt8? {
      switch self {
      case .absent, .buddy, .reserved, .offline, .unknown: nil
      case .flagless, .kernel: UInt8(ascii: "K")
      case .held: 0
      case .anonLRU: UInt8(ascii: "A")
      case .anon: UInt8(ascii: "a")
      case .fileLRU: UInt8(ascii: "F")
      case .file: UInt8(ascii: "f")
      case .slab: UInt8(ascii: "S")
      case .pageTable: UInt8(ascii: "T")
      case .hugetlb: UInt8(ascii: "H")
      }
    }

    var isLRU: Bool { self == .anonLRU || self == .fileLRU }
  }

  private static let headBit: UInt8 = 0x40
  private static let tailBit: UInt8 = 0x80

  private var bytes: [UInt8]

  /// `count` frames of which nothing is known.
  init(count: Int) { bytes = Array(repeating: Class.absent.rawValue, count: count) }

  /// The classes of the first `count` frames.
  ///
  /// - Throws: When the file is damaged, or ends before the last zone does.
  init(_ path: String, count: Int) throws(RecordingError) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    let rest = try HostFile.forEachWord(of: path) { word in
      if bytes.count < count { bytes.append(Self.byte(word)) }
    }
    guard rest == 0, bytes.count == count else {
      throw RecordingError(
        "\(path): ends at pfn 0x\(String(bytes.count, radix: 16))"
          + (rest == 0 ? "" : " and \(rest) bytes") + ", but zoneinfo's last zone ends at 0x"
          + String(count, radix: 16) + ": the file is cut off; capture the host again")
    }
    self.bytes = bytes
  }

  var count: Int { bytes.count }

  subscript(_ pfn: Int) -> Class {
    get { Class(rawValue: bytes[pfn] & 0x3F)! }
    set { bytes[pfn] = newValue.rawValue }
  }

  func isHead(_ pfn: Int) -> Bool { bytes[pfn] & Self.headBit != 0 }
  func isTail(_ pfn: Int) -> Bool { bytes[pfn] & Self.tailBit != 0 }

  mutating func fill(_ range: PFNRange, _ value: Class) {
    for pfn in range.start..<range.end { bytes[pfn] = value.rawValue }
  }

  /// One entry of the file.
  ///
  /// Bits: include/uapi/linux/kernel-page-flags.h, and KPF_RESERVED, which is 32 in
  /// include/linux/kernel-page-flags.h.
  private static func byte(_ word: UInt64) -> UInt8 {
    func has(_ bit: UInt64) -> Bool { word >> bit & 1 != 0 }
    // NOPAGE and BUDDY stand alone: what else is set is left over from an earlier life.
    if has(20) { return Class.absent.rawValue }
    if has(10) { return Class.buddy.rawValue }
    let value: Class =
      if word == 0 {
        .flagless
      } else if has(32) || has(19) || has(24) {
        // RESERVED, HWPOISON, ZERO_PAGE
        .reserved
      } else if has(23) {
        .offline
      } else if has(17) {
        .hugetlb
      } else if has(7) {
        .slab
      } else if has(26) {
        .pageTable
      } else if has(12) {
        has(5) ? .anonLRU : .anon
      } else if has(5) {
        .fileLRU
      } else if has(14) || has(22) {
        // SWAPBACKED or THP, not on the LRU: shared memory on its way.
        .file
      } else {
        .kernel
      }
    // COMPOUND_HEAD, COMPOUND_TAIL
    return value.rawValue | (has(15) ? headBit : 0) | (has(16) ? tailBit : 0)
  }
}
