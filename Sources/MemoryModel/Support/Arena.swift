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

  /// A second arena with the same content; costs what was touched, not what was reserved.
  ///
  /// The kernel knows which pages of the mapping exist: /proc/self/pagemap has 8 bytes a page, of
  /// which bits 63 (present) and 62 (swapped) are readable by anyone.
  public func copy() throws(MemoryError) -> Arena {
    let result = try Arena(count: count)
    let page = 4096
    let pages = (byteCount + page - 1) / page
    let map = unsafe open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
    defer { if map >= 0 { close(map) } }
    guard map >= 0 else {
      unsafe memcpy(result.base, base, byteCount)
      return result
    }
    let source = unsafe UnsafeRawPointer(base)
    let target = unsafe UnsafeMutableRawPointer(result.base)
    let firstPage = UInt(bitPattern: source) / UInt(page)
    var entries = [UInt64](repeating: 0, count: 8192)
    var done = 0
    while done < pages {
      let wanted = min(entries.count, pages - done)
      let offset = off_t((firstPage + UInt(done)) * 8)
      let got = unsafe pread(map, &entries, wanted * 8, offset) / 8
      guard got > 0 else {
        let start = done * page
        unsafe memcpy(target + start, source + start, byteCount - start)
        return result
      }
      var index = 0
      while index < got {
        guard entries[index] >> 62 != 0 else {
          index += 1
          continue
        }
        var end = index
        while end < got && entries[end] >> 62 != 0 { end += 1 }
        let start = (done + index) * page
        let bytes = min((end - index) * page, byteCount - start)
        unsafe memcpy(target + start, source + start, bytes)
        index = end
      }
      done += got
    }
    return result
  }

  /// Whether both arenas hold the same bytes.
  public func isEqual(to other: borrowing Arena) -> Bool {
    unsafe byteCount == other.byteCount && memcmp(base, other.base, byteCount) == 0
  }
}
