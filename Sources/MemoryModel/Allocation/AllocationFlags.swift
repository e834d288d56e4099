/// The allocator's own flags for one attempt (rule A2.8).
///
/// Kernel: `ALLOC_*`, mm/internal.h.
struct AllocationFlags: OptionSet, BitwiseCopyable, Codable {
  let rawValue: UInt32

  /// The low two bits select the watermark: 0 min, 1 low, 2 high.
  static let watermarkMin = AllocationFlags([])
  static let watermarkLow = AllocationFlags(rawValue: 1)
  static let watermarkHigh = AllocationFlags(rawValue: 2)
  static let noWatermarks = AllocationFlags(rawValue: 4)
  static let oom = AllocationFlags(rawValue: 8)
  static let nonBlock = AllocationFlags(rawValue: 0x10)
  static let minReserve = AllocationFlags(rawValue: 0x20)
  static let cpuset = AllocationFlags(rawValue: 0x40)
  static let cma = AllocationFlags(rawValue: 0x80)
  static let noFragment = AllocationFlags(rawValue: 0x100)
  static let highAtomic = AllocationFlags(rawValue: 0x200)
  /// ALLOC_HARDER of kernels up to 6.2, beside `nonBlock` (rule A9.8).
  static let harder = AllocationFlags(rawValue: 0x400)
  static let kswapd = AllocationFlags(rawValue: 0x800)
  static let reserves: AllocationFlags = [.nonBlock, .minReserve, .highAtomic, .oom]

  var watermark: Int { Int(rawValue & 3) }
}
