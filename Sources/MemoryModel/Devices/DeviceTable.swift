// Invariant: a mapping with a pin holds exactly the pages of that pin's record, in order, with the
// frames of `deviceFrames` in between; what it charged is part of one counter until it is given back
// (`checkDevices(_:)`).

/// Who holds memory for devices: containers, memory regions, registered buffers (rules P7.1 to P7.42).
///
/// Plain data beside the pins; what the drivers do with it is in MemoryDevices.
public struct DeviceTable: Sendable, Equatable, Codable {
  public package(set) var attachments: [DeviceAttachment] = []
  /// Pages that io_uring and iommufd charged to the user, over all processes.
  ///
  /// Kernel: `user->locked_vm`.
  public package(set) var userLockedPages = 0
  package var lastMapping = 0

  public func attachment(_ id: Int) -> DeviceAttachment? {
    attachments.indices.contains(id) ? attachments[id] : nil
  }
}

/// Where pinned pages count against RLIMIT_MEMLOCK (rule P9.4).
public enum LockedAccount: String, Sendable, CaseIterable, Codable {
  /// `mm->locked_vm`, with the pages of mlock.
  case locked = "locked_vm"
  /// `mm->pinned_vm`.
  case pinned = "pinned_vm"
  /// `user->locked_vm`, of all processes of the user.
  case user
  /// None: nothing is pinned.
  case none
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

    /// Whether the device translates its addresses, so that a range may be mapped only once.
    public var hasIOVA: Bool { isVFIO || self == .iommufd }

    /// Where its pages count, unless it is opened with another account.
    public var account: LockedAccount {
      switch self {
      case .vfioV1, .vfioV2, .spapr: .locked
      case .rdma: .pinned
      case .ioUring, .iommufd: .user
      case .odp: .none
      }
    }
  }

  public let id: Int
  public let kind: Kind
  public var name: String
  /// The process whose memory it maps.
  public let space: Int
  public package(set) var account: LockedAccount
  /// The module's option: one page a call and a run (rule P7.2).
  public var disablesHugePages = false
  /// Whether the IOMMU has pages of every power of two, so that one call unmaps a whole one.
  public var hasFineSuperpages = false
  /// The most mappings; `dma_entry_limit`.
  public var entryLimit = 65535
  /// The most bytes of a scatter-list segment.
  public var maximumSegment = 64 << 10
  public package(set) var mappings: [DeviceMapping] = []
  /// False after it was closed: it maps nothing any more.
  public package(set) var isOpen = true
  /// A call that holds its mutex is under way.
  package var isBusy = false
  /// How its holder answered when the kernel asked for pages back (rule P9.11).
  public package(set) var revocation = Revocation()

  public struct Revocation: Sendable, Equatable, Codable {
    /// Pages whose mapping was taken away; the device faults them in again.
    public package(set) var complied = 0
    /// Pages that an IOMMU which cannot fault still reaches.
    public package(set) var refused = 0
  }

  package init(id: Int, kind: Kind, name: String, space: Int) {
    self.id = id
    self.kind = kind
    self.name = name
    self.space = space
    account = kind.account
  }
}

/// A range that a device may reach.
public struct DeviceMapping: Sendable, Equatable, Codable {
  /// Frames without a `struct page`, which no pin holds (rule P7.8).
  public struct DeviceFrames: Sendable, Equatable, Codable {
    /// The page of the mapping at which they begin.
    public let offset: Int
    public let first: Int
    public let pages: Int

    package init(offset: Int, first: Int, pages: Int) {
      self.offset = offset
      self.first = first
      self.pages = pages
    }
  }

  public let id: Int
  /// Where the device sees it, in pages.
  public package(set) var iova: Int
  public package(set) var startPage: Int
  public package(set) var pages: Int
  public package(set) var isWrite: Bool
  /// The record of its pages; nil when none is pinned: device memory, or on demand.
  public package(set) var pin: Int?
  public package(set) var deviceFrames: [DeviceFrames] = []
  /// Pages that it charged to the process or the user.
  public package(set) var charged = 0
  /// Runs of neighbouring frames: calls of the IOMMU, or segments.
  public package(set) var runs = 0
  /// Calls that map into the IOMMU.
  public package(set) var iommuMaps = 0
  /// Pages that were unpinned, and pinned again at once (rules P7.1, P7.3).
  public package(set) var repins = 0
  /// Looks for the frame of a page that no pin holds (rule P7.8).
  public package(set) var frameLookups = 0
  /// Records of the form in which the driver keeps the pages, and their bytes.
  public package(set) var records = 0
  public package(set) var bytes = 0
  /// Of a registered buffer: the folios' pins were folded to one each (rule P7.30).
  public package(set) var isCoalesced = false
  /// Folios that RFC2015 took off their list without their flag (rule P3.10): the list is corrupt.
  public package(set) var corrupted = 0
  /// Pages for which the device has another frame than the process showed when it was mapped (rule P7.9).
  public package(set) var foreign = 0
  /// Users of a registered region (rule P7.42).
  public package(set) var users = 1
  /// Of a registered region: the largest IOMMU page that all of it allows (rule P7.41).
  public package(set) var pageShift = 0
  /// Entries of TCE tables that name pages of it (rule P7.42).
  public package(set) var tableEntries = 0
  /// Slots whose dirty bit is set (rule P7.40).
  public package(set) var dirtySlots: Set<Int> = []
  /// On demand: the frames that the device last saw, by page.
  package var seen: [Int: PFN] = [:]
  /// On demand: pages whose entries were asked back since (rule P9.11).
  package var takenBack: Set<Int> = []
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

  public var range: Range<Int> { startPage..<startPage + pages }
  public var iovaRange: Range<Int> { iova..<iova + pages }
}
