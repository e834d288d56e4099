// The one file of this module that touches unsafe memory.
//
// Invariant: `base` is the start of an anonymous private mapping of at least `count` elements that
// this value alone owns. A byte that was never written is zero, and zero bytes are a valid element
// that means "never touched", so a machine of 1 TiB costs only what is written.

#if canImport(Glibc)
  import Glibc
#else
  import Musl
#endif

/// A flat table of plain values in which zero means "never touched".
@safe public struct Arena<Element: BitwiseCopyable>: ~Copyable {
  public let count: Int
  private let base: UnsafeMutablePointer<Element>
  private let byteCount: Int

  /// Reserves address space for `count` elements; nothing becomes resident.
  ///
  /// - Parameter hugePages: Ask for huge pages: right for tables that are touched densely, where
  ///   the first touch in 4 KiB steps is what costs (1.9 GB took 4.7 s).
  public init(count: Int, hugePages: Bool = false) throws(MemoryError) {
    let bytes = max(1, count) * MemoryLayout<Element>.stride
    let mapped = unsafe mmap(
      nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory = unsafe mapped, unsafe memory != MAP_FAILED else {
      throw MemoryError(
        .hostMemory,
        "this computer cannot reserve \(bytes >> 20) MiB of address space for the model; "
          + "ask for a smaller machine")
    }
    if hugePages { unsafe madvise(memory, bytes, MADV_HUGEPAGE) }
    self.count = count
    self.byteCount = bytes
    unsafe self.base = memory.bindMemory(to: Element.self, capacity: max(1, count))
  }

  deinit { unsafe munmap(base, byteCount) }

  public subscript(index: Int) -> Element {
    // Lends the element instead of copying it: a zone is 1 KiB, and copying it for each field read
    // took 27 % of an allocation.
    _read {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "arena index out of range")
      yield unsafe base[index]
    }
    _modify {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "arena index out of range")
      yield unsafe &base[index]
    }
  }

  /// Writes `value` to every element of `range`.
  public mutating func fill(_ range: Range<Int>, with value: Element) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    unsafe (base + range.lowerBound).update(repeating: value, count: range.count)
  }

  /// Writes `element(index)` to every element of `range`.
  @inline(__always)
  mutating func update(_ range: Range<Int>, _ element: (Int) -> Element) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    for index in range { unsafe base[index] = element(index) }
  }

  /// The first index of `range` whose element fails the test; the end of the range if none does.
  @inline(__always)
  func firstIndex(in range: Range<Int>, where test: (Element, Int) -> Bool) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    for index in range where test(unsafe base[index], index) { return index }
    return range.upperBound
  }

  /// Makes this arena's content that of another one of the same size, touching only pages that
  /// either has touched.
  public mutating func assign(from other: borrowing Arena) {
    precondition(count == other.count, "arenas of different sizes")
    let source = unsafe UnsafeRawPointer(other.base)
    let target = unsafe UnsafeMutableRawPointer(base)
    guard byteCount > 1 << 16, let pagemap = Pagemap() else {
      unsafe memcpy(target, source, byteCount)
      return
    }
    let page = Pagemap.pageSize
    let pages = (byteCount + page - 1) / page
    var there = [UInt64](repeating: 0, count: min(pages, 4096))
    var here = there
    var first = 0
    while first < pages {
      let wanted = min(there.count, pages - first)
      guard unsafe pagemap.read(&there, wanted, from: source + first * page),
        unsafe pagemap.read(&here, wanted, from: UnsafeRawPointer(target) + first * page)
      else {
        unsafe memcpy(target + first * page, source + first * page, byteCount - first * page)
        return
      }
      for index in 0..<wanted {
        let offset = (first + index) * page
        let bytes = min(page, byteCount - offset)
        if Pagemap.isTouched(there[index]) {
          unsafe memcpy(target + offset, source + offset, bytes)
        } else if Pagemap.isTouched(here[index]) {
          unsafe memset(target + offset, 0, bytes)
        }
      }
      first += wanted
    }
  }

  /// Whether both arenas hold the same bytes.
  public func isEqual(to other: borrowing Arena) -> Bool {
    unsafe byteCount == other.byteCount && memcmp(base, other.base, byteCount) == 0
  }
}

/// Which pages of this process were ever touched: /proc/self/pagemap, 8 bytes a page.
private struct Pagemap: ~Copyable {
  static let pageSize = 4096
  private let file: CInt

  init?() {
    file = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    if file < 0 { return nil }
  }

  deinit { close(file) }

  /// Fills `entries` for the pages from `address` on; false when the kernel does not say.
  func read(_ entries: inout [UInt64], _ count: Int, from address: UnsafeRawPointer) -> Bool {
    let offset = off_t(UInt(bitPattern: address) / UInt(Self.pageSize) * 8)
    return unsafe pread(file, &entries, count * 8, offset) == count * 8
  }

  /// Bits 63 (present) and 62 (swapped) are readable by anyone.
  static func isTouched(_ entry: UInt64) -> Bool { entry >> 62 != 0 }
}
