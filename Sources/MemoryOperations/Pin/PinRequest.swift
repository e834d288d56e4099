public import MemoryModel

/// Which of the kernel's functions takes the pages (rule P3.11).
public enum PinEntryPoint: String, Sendable, CaseIterable {
  /// `pin_user_pages()`: mmap_lock held, no FOLL_TOUCH.
  case locked = "pin_user_pages"
  /// `pin_user_pages_remote()`: another process's memory, as VFIO pins.
  case remote = "pin_user_pages_remote"
  /// `pin_user_pages_unlocked()`.
  case unlocked = "pin_user_pages_unlocked"
  /// `pin_user_pages_fast()`: page tables without a lock first, as RDMA and io_uring pin.
  case fast = "pin_user_pages_fast"
  /// `get_user_pages_fast_only()`: plain references, and what the lockless walk cannot take is left out, as
  /// KVM does where it may not sleep.
  case fastOnly = "get_user_pages_fast_only"

  var isFast: Bool { self == .fast || self == .fastOnly }
}

/// What is to be pinned, and how.
public struct PinRequest: Sendable, Hashable {
  public var space: Int
  /// The first page of the address space.
  public var startPage: Int
  public var pages: Int
  /// FOLL_PIN is added; with `.get`, plain references are taken instead (rule P3.15).
  public var flags: GUPFlags
  public var entryPoint: PinEntryPoint
  /// Who holds it, for `why`; empty for a number.
  public var holder: String
  /// Pages that the holder asks for in one call; nil for all at once.
  ///
  /// A call that fails ends it.
  public var callPages: Int?
  /// No call begins when so many pages are held; the one that passes the number keeps its pages.
  public var stopsAfter: Int?
  /// Device memory (VM_PFNMAP) is passed over: its frames are looked up, and no pin holds them (rule
  /// P7.8).
  public var passesDeviceMemory = false
  /// Behind a page of a compound page the frames that follow are taken for the next pages, without a look
  /// at the page table (rule P7.9).
  public var skipsTails = false
  /// Pages are looked at in every kernel, as the helper of 2018 did for its own caller.
  public var checksAlways = false

  public init(
    space: Int, startPage: Int, pages: Int, flags: GUPFlags, entryPoint: PinEntryPoint = .locked,
    holder: String = "", callPages: Int? = nil
  ) {
    self.space = space
    self.startPage = startPage
    self.pages = pages
    self.flags = flags
    self.entryPoint = entryPoint
    self.holder = holder
    self.callPages = callPages
  }

  /// The flags that the entry point works with in a kernel.
  ///
  /// Before 5.7 a pin is a plain reference (rule P1.3), and before 5.1 nobody asks how long (rule
  /// P3.58).
  func effectiveFlags(_ kernel: borrowing Kernel) -> GUPFlags {
    var flags = flags
    if entryPoint == .fastOnly { flags.formUnion([.get, .fastOnly]) }
    if !flags.contains(.get) { flags.insert(kernel.pinning.countsPins ? .pin : .get) }
    if !kernel.pinning.checksEveryPin, !checksAlways { flags.remove(.longTerm) }
    if flags.contains(.write) { flags.insert(.honorNUMAFault) }
    switch entryPoint {
    case .locked, .fastOnly: break
    case .remote: flags.formUnion([.touch, .remote])
    case .unlocked, .fast: flags.formUnion([.touch, .unlockable])
    }
    return flags
  }

  /// Why the kernel refuses the arguments, or nil (rule P3.11).
  ///
  /// Kernel: `is_valid_gup_args()`, `gup_fast_fallback()`, mm/gup.c.
  var refusal: Refusal? {
    let given = flags
    if !given.intersection(.internalFlags).isEmpty {
      return Refusal(
        .EINVAL,
        "\(given.intersection(.internalFlags).description) is the kernel's own and may not be "
          + "passed", rule: "P3.11")
    }
    if given.isSuperset(of: [.get, .longTerm]), !checksAlways {
      return Refusal(
        .EINVAL, "FOLL_LONGTERM needs pins: leave FOLL_GET away (rule P3.15)", rule: "P3.11")
    }
    if given.isSuperset(of: [.longTerm, .pciP2PDMA]) {
      return Refusal(.EINVAL, "FOLL_PCI_P2PDMA and FOLL_LONGTERM exclude each other", rule: "P3.15")
    }
    if startPage < 0 || startPage + pages > AddressSpace.endPage {
      return Refusal(
        .EFAULT, "the range reaches beyond user space, which ends at 0x800000000000",
        rule: "P3.11")
    }
    return nil
  }
}

/// What came of a pin.
public struct PinOutcome: Sendable, Hashable {
  /// Pages that are pinned now; may be fewer than asked for.
  public var pages: Int
  /// The record of the pinned pages; nil when there are none.
  public var pin: Int?
  /// Why it stopped, when nothing is pinned; also set when a short count hides an error (rule
  /// P3.31).
  public var refusal: Refusal?
  /// The folios that refused to move in the last round.
  public var stuck: [PFN] = []
  public var costs: OperationCosts
}
