/// A range of a process's addresses with one backing and one set of permissions.
///
/// Kernel: `struct vm_area_struct`. Pages are counted in units of 4 KiB from address 0.
public struct MemoryArea: Sendable, Hashable, Codable {
  public struct Flags: OptionSet, Hashable, Sendable, Codable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let read = Flags(rawValue: 1)
    public static let write = Flags(rawValue: 1 << 1)
    public static let shared = Flags(rawValue: 1 << 2)
    public static let mayWrite = Flags(rawValue: 1 << 3)
    public static let locked = Flags(rawValue: 1 << 4)
    public static let io = Flags(rawValue: 1 << 5)
    public static let pfnMap = Flags(rawValue: 1 << 6)
    public static let hugePage = Flags(rawValue: 1 << 7)
    public static let noHugePage = Flags(rawValue: 1 << 8)
    public static let dontCopy = Flags(rawValue: 1 << 9)
    /// MADV_NOMOVABLE, a proposal that was never merged (rule P9.20).
    public static let noMovable = Flags(rawValue: 1 << 10)
    /// MADV_MIGHT_PIN, a proposal that was never merged (rule P9.22).
    public static let mightPin = Flags(rawValue: 1 << 11)
    /// MAP_NORESERVE: a hugetlb mapping is promised no pages.
    public static let noReserve = Flags(rawValue: 1 << 12)
    /// The owner of a private hugetlb mapping took a page away from this copy of it.
    ///
    /// Kernel: `HPAGE_RESV_UNMAPPED`.
    public static let reserveLost = Flags(rawValue: 1 << 13)
  }

  public enum Backing: Sendable, Hashable, Codable {
    case anonymous
    /// File index and the page of the file at which the area starts.
    case file(Int, offset: Int)
    /// Device memory from this frame number on; the frames are not memory.
    case device(firstFrame: Int)
  }

  public var start: Int
  public var end: Int
  public var flags: Flags
  public var backing: Backing
  /// Where private pages of the area are looked up: its anonymous region.
  public var region: Int?
  /// The promises of a private hugetlb mapping, if this process made it.
  ///
  /// Kernel: `vm_private_data` with HPAGE_RESV_OWNER.
  var reservation: Int?

  public init(start: Int, end: Int, flags: Flags, backing: Backing) {
    self.start = start
    self.end = end
    self.flags = flags
    self.backing = backing
  }

  public var pages: Int { end - start }
  public func contains(_ page: Int) -> Bool { page >= start && page < end }

  public var file: Int? {
    if case .file(let file, _) = backing { return file }
    return nil
  }

  /// Writes go to a private copy.
  ///
  /// Kernel: `is_cow_mapping()`.
  public var isCopyOnWrite: Bool { !flags.contains(.shared) && flags.contains(.mayWrite) }

  /// The page of the file behind a page of the area.
  public func filePage(_ page: Int) -> Int {
    if case .file(_, let offset) = backing { return offset + page - start }
    return page
  }

  /// The part of the area in `range`, with the backing moved along.
  func part(_ from: Int, _ to: Int) -> MemoryArea {
    var part = self
    part.start = from
    part.end = to
    switch backing {
    case .anonymous: break
    case .file(let file, let offset): part.backing = .file(file, offset: offset + from - start)
    case .device(let frame): part.backing = .device(firstFrame: frame + from - start)
    }
    return part
  }
}

/// Everything that looks up anonymous pages: all processes that descend from one area by fork.
///
/// Kernel: the tree of `struct anon_vma`, of which only the answer matters here.
public struct AnonymousRegion: Sendable, Equatable, Codable {
  /// The page at which index 0 lies.
  public var base: Int
  public var spaces: [Int]
}
