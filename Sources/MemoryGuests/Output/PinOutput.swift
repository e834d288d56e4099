// The forms in which a caller can be given the pages of a pin, and the bytes they take (rules
// P7.50, P7.51). Sizes of records are those of x86_64.

public import MemoryModel

/// The bytes that the pages of a pin take in each form.
public struct PinOutput: Sendable, Equatable {
  public enum Format: String, Sendable, CaseIterable {
    /// `struct page *` for each page, as pin_user_pages fills.
    case pages
    /// `struct scatterlist` for each segment, in chained pages.
    case scatterList = "sg"
    /// `struct bio_vec` for each run.
    case bioVector = "bvec"
    /// A 64-bit word for each page, with its flags and order, as hmm_range_fault fills.
    case pfnFlags = "pfn"
    /// The first frame and the length of each run, as iommufd keeps them.
    case runs
    /// `struct folio *` for each folio, as memfd_pin_folios fills.
    case folios

    /// What it is, in words.
    public var words: String {
      switch self {
      case .pages: "page pointers"
      case .scatterList: "scatter list"
      case .bioVector: "bio vectors"
      case .pfnFlags: "pfns with flags"
      case .runs: "runs"
      case .folios: "folio pointers"
      }
    }
  }

  public struct Size: Sendable, Equatable {
    public var format: Format
    public var records: Int
    /// Bytes of the records alone.
    public var bytes: Int
    /// Bytes with what chains a scatter list: one more record for each full page of 127.
    public var allocated: Int

    init(_ format: Format, _ records: Int, each: Int) {
      self.format = format
      self.records = records
      bytes = records * each
      allocated = bytes
    }
  }

  /// Pages of 4 KiB.
  public private(set) var pages = 0
  /// Runs of neighbouring frames, each as long as it can be.
  public private(set) var runs = 0
  /// Parts of runs that lie in one folio.
  public private(set) var folioRuns = 0
  /// Scatter-list segments.
  public private(set) var segments = 0

  private let maximumSegmentPages: Int
  private var runEnd = -1
  private var runPages = 0
  private var lastFolio = -1

  /// - Parameter maximumSegment: The most bytes that one scatter-list segment may have.
  public init(maximumSegment: Int = 64 << 10) {
    maximumSegmentPages = max(1, maximumSegment >> 12)
  }

  /// Adds pages of one folio that follow each other.
  ///
  /// - Parameter head: The folio's first frame.
  public mutating func add(_ first: PFN, pages count: Int, folio head: PFN) {
    pages += count
    if first.index == runEnd {
      runPages += count
      if head.index != lastFolio { folioRuns += 1 }
    } else {
      endRun()
      runs += 1
      folioRuns += 1
      runPages = count
    }
    lastFolio = head.index
    runEnd = first.index + count
  }

  private mutating func endRun() {
    segments += (runPages + maximumSegmentPages - 1) / maximumSegmentPages
    runPages = 0
  }

  /// The sizes, once all pages are added.
  public func sizes() -> [Size] {
    var done = self
    done.endRun()
    var list = Size(.scatterList, done.segments, each: 32)
    // All pages but the last hold 127 segments and a link.
    if list.records > 128 { list.allocated += (list.records - 2) / 127 * 32 }
    return [
      Size(.pages, pages, each: 8), list, Size(.bioVector, runs, each: 16),
      Size(.pfnFlags, pages, each: 8), Size(.runs, runs, each: 12),
      Size(.folios, folioRuns, each: 8),
    ]
  }
}

extension Machine {
  /// The output of a pin, counted from its runs.
  public func output(_ pin: PinRecord, maximumSegment: Int = 64 << 10) -> PinOutput {
    var output = PinOutput(maximumSegment: maximumSegment)
    forEachRun(pin) { first, pages in
      let head = pages == 1 ? first : folio(of: first)?.head ?? first
      output.add(first, pages: pages, folio: head)
    }
    return output
  }
}
