// Invariant: a mapping with a pin holds exactly the pages of that pin's record; what it charged is part
// of its process's counters until it is given back.

/// Who holds memory for devices: containers, memory regions, registered buffers (rules P7.1 to P7.42).
///
/// Plain data beside the pins; what the drivers do with it is in MemoryDevices.
public struct DeviceTable: Sendable, Equatable, Codable {
  public package(set) var attachments: [DeviceAttachment] = []
  /// Pages that io_uring charged to the user, over all rings.
  ///
  /// Kernel: `user->locked_vm`.
  public package(set) var userLockedPages = 0
  package var lastMapping = 0

  public func attachment(_ id: Int) -> DeviceAttachment? {
    attachments.indices.contains(id) ? attachments[id] : nil
  }
}

/// What a process has opened or registered for one device.
public struct DeviceAttachment: Sendable, Equatable, Codable {
  public enum Kind: String, Sendable, CaseIterable, Codable {
    /// A VFIO container, type 1, first and second version of its unmap.
    case vfioV1 = "v1"
    case vfioV2 = "v2"
    case iommufd
    case rdma
    /// RDMA on demand: no pins, the device faults.
    case odp
    case ioUring = "io_uring"
    case spapr

    public var isVFIO: Bool { self == .vfioV1 || self == .vfioV2 }
  }

  public let id: Int
  public let kind: Kind
  public var name: String
  /// The process whose memory it maps.
  public let space: Int
  /// The module's option: every run ends after one page (rule P7.2).
  public var disablesHugePages = false
  /// Whether the IOMMU can take a part out of a larger mapping, so that one call unmaps a range.
  public var hasFineSuperpages = false
  /// The most mappings; `dma_entry_limit`.
  public var entryLimit = 65535
  /// The most bytes of a scatter-list segment.
  public var maximumSegment = 64 << 10
  public package(set) var mappings: [DeviceMapping] = []
  public package(set) var isOpen = true

  package init(id: Int, kind: Kind, name: String, space: Int) {
    self.id = id
    self.kind = kind
    self.name = name
    self.space = space
  }
}

/// A range that a device may reach.
public struct DeviceMapping: Sendable, Equatable, Codable {
  public let id: Int
  /// Where the device sees it, in pages.
  public package(set) var iova: Int
  public package(set) var startPage: Int
  public package(set) var pages: Int
  public package(set) var isWrite: Bool
  /// The record of its pages; nil when none is pinned: device memory, or on demand.
  public package(set) var pin: Int?
  /// Pages that it charged to the process or the user.
  public package(set) var charged = 0
  /// Runs of neighbouring frames: calls of the IOMMU, or segments.
  public package(set) var runs = 0
  /// Calls that map into the IOMMU.
  public package(set) var iommuMaps = 0
  /// Records of the form in which the driver keeps the pages, and their bytes.
  public package(set) var records = 0
  public package(set) var bytes = 0
  /// Of a registered buffer: the folios' pins were folded to one each (rule P7.30).
  public package(set) var isCoalesced = false
  /// Folios that RFC2015 took off their list without their flag (rule P3.10): the list is corrupt.
  public package(set) var corrupted = 0
  /// Users of a registered region (rule P7.42).
  public package(set) var users = 1
  /// On demand: the frames that the device last saw, by page.
  package var seen: [Int: PFN] = [:]
  /// What mapping it did.
  public package(set) var costs = OperationCosts()

  package init(id: Int, iova: Int, startPage: Int, pages: Int, isWrite: Bool, pin: Int?) {
    self.id = id
    self.iova = iova
    self.startPage = startPage
    self.pages = pages
    self.isWrite = isWrite
    self.pin = pin
  }
}

extension Machine {
  /// Opens an attachment.
  package mutating func attach(
    _ kind: DeviceAttachment.Kind, name: String, space: Int
  ) -> Int {
    let id = devices.attachments.count
    devices.attachments.append(
      DeviceAttachment(id: id, kind: kind, name: name, space: space))
    return id
  }

  /// Raises or lowers what a process has locked and pinned for devices.
  package mutating func charge(_ space: Int, locked: Int = 0, pinned: Int = 0) {
    spaces[space].lockedPages += locked
    spaces[space].pinnedPages += pinned
  }

  /// How many more pages a counter may grow by below RLIMIT_MEMLOCK.
  ///
  /// - Parameter counted: What the counter holds now.
  package func memlockRoom(_ space: Int, counted: Int) -> Int {
    guard let limit = spaces[space].memlockLimit else { return .max }
    return max(0, limit >> geometry.pageShift - counted)
  }
}

extension Machine {
  package mutating func limitLockedMemory(_ space: Int, _ bytes: Int?) {
    spaces[space].memlockLimit = bytes
  }
}
