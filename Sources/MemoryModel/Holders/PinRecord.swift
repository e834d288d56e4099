/// A pin as its holder keeps it: who, since when, and which pages in order.
public struct PinRecord: Sendable, Hashable, Codable {
  public let id: Int
  /// The process whose memory it is.
  public let space: Int
  /// First page of the range that was asked for.
  public let startPage: Int
  /// Pages pinned.
  public package(set) var pages: Int
  public var isLongTerm: Bool
  public var isWrite: Bool
  /// Taken with FOLL_GET: a plain reference a page instead of a pin.
  public var isGet: Bool
  /// The file whose folios are pinned, one pin a folio, as memfd_pin_folios takes them (rule P3.70).
  ///
  /// Then ``startPage`` counts from the start of the file, and ``pages`` counts folios.
  public package(set) var file: Int?
  /// Bytes from the start of the first folio to the first byte that was asked for.
  public package(set) var offset = 0
  /// Each run stands for one pin: those of a file's folios, and of one that keeps a pin a folio
  /// (io_uring, rule P7.30).
  public var isPerFolio: Bool { file != nil || keepsOnePinAFolio }
  package var keepsOnePinAFolio = false
  /// What holds it, in words: "pin #1", "vm0's VFIO container".
  public var holder: String
  /// The operation that took it, counted from boot.
  public var operation: Int
  /// Pages that the call asked for; more than ``pages`` after a short count.
  public package(set) var requested = 0
  /// It was asked for with `pin_user_pages_fast()`.
  public package(set) var isFast = false
  /// What the call did.
  public package(set) var costs = OperationCosts()
  /// The error that a short count hides from the caller (rule P3.31).
  public package(set) var shortfall: Refusal?
  /// The form in which the caller keeps the pages, when it said so.
  public package(set) var output: String?
  /// Its first pages are given back already, and the words with them; ``pages`` is what it had.
  package var isGivingBack = false
  /// Its words in ``Machine/pinWords``: a pfn for one page, or, with the top bit, a count of pages
  /// that is followed by their first pfn.
  var words: Range<Int>

  public init(
    id: Int, space: Int, startPage: Int, isLongTerm: Bool, isWrite: Bool, isGet: Bool,
    holder: String, operation: Int, words: Range<Int>
  ) {
    self.id = id
    self.space = space
    self.startPage = startPage
    self.pages = 0
    self.isLongTerm = isLongTerm
    self.isWrite = isWrite
    self.isGet = isGet
    self.holder = holder
    self.operation = operation
    self.words = words
  }
}

/// A plain reference to a folio that somebody took and has not given back.
public struct TemporaryReference: Sendable, Equatable, Codable {
  public let id: Int
  /// The page that was asked for.
  public let page: PFN
  /// It came with taking the folio off its LRU list (rule P1.30).
  public var isIsolation = false
  public var holder: String
  public var operation: Int
}
