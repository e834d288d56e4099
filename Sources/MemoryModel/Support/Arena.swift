// The one file of this module that touches unsafe memory, with Journal.swift beside it.
//
// Invariant: `base` is the start of an anonymous private mapping of at least `count` elements that
// this value alone owns. A byte that was never written is zero, and zero bytes are a valid element
// that means "never touched", so a machine of 1 TiB costs only what is written.

import CPrefetch

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
  /// The ranges that a copy should get huge pages for, too.
  private var denseRanges: [Range<Int>] = []
  /// Where old values are noted before a write, while somebody may take the writes back.
  private var journal: UnsafeMutablePointer<Journal.Header>?
  private var isStatistic = false

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
    // Addresses instead of copies: a zone is 1 KiB, and copying it for each field read took 27 % of
    // an allocation; the lists of a CPU and a batch of the LRU were copied with `_read`, too.
    unsafeAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "arena index out of range")
      return unsafe UnsafePointer(base + index)
    }
    unsafeMutableAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "arena index out of range")
      if let journal = unsafe journal {
        unsafe Journal.note(
          journal, base + index, MemoryLayout<Element>.size, isStatistic: isStatistic)
      }
      return unsafe base + index
    }
  }

  /// A value inside of an element, read where it stands.
  ///
  /// Swift 6.3 copies the whole of an inline array to read one of its elements: 792 bytes for a look at
  /// a free list.
  ///
  /// - Parameter offset: Bytes from the start of the element.
  @inline(__always)
  func value<Value: BitwiseCopyable>(in index: Int, at offset: Int) -> Value {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "arena index out of range")
    precondition(offset >= 0 && offset + MemoryLayout<Value>.size <= MemoryLayout<Element>.size)
    return unsafe UnsafeRawPointer(base + index).load(fromByteOffset: offset, as: Value.self)
  }

  /// Notes every write from now on, or no more when `journal` is nil.
  ///
  /// Writes through a ``view()`` are not noted: who writes through one notes them first.
  ///
  /// - Parameter isStatistic: The table counts or traces, and is no part of a state's digest.
  mutating func note(in journal: Journal?, isStatistic: Bool = false) {
    unsafe self.journal = journal?.header
    self.isStatistic = isStatistic
  }

  /// Notes a range that is about to be written without going through the subscript.
  mutating func noteWrite(of range: Range<Int>) {
    guard let journal = unsafe journal else { return }
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    for index in range {
      unsafe Journal.note(
        journal, base + index, MemoryLayout<Element>.size, isStatistic: isStatistic)
    }
  }

  /// Whether writes are noted.
  var isNoted: Bool { unsafe journal != nil }

  /// Asks the host for huge pages under `range`, because most of it will be written.
  ///
  /// The first touch in 4 KiB steps is what costs in a large table; where little is written, huge
  /// pages cost memory. Nothing becomes resident before it is touched, and a copy is asked for the
  /// same. Only whole pages inside the range are concerned.
  public mutating func expectDenseUse(of range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    if denseRanges.contains(where: { $0.contains(range) }) { return }
    let page = Pagemap.pageSize
    let stride = MemoryLayout<Element>.stride
    let first = (range.lowerBound * stride + page - 1) / page * page
    let end = range.upperBound * stride / page * page
    guard first < end else { return }
    // A host without huge pages refuses, and small ones do as well.
    unsafe madvise(UnsafeMutableRawPointer(base) + first, end - first, MADV_HUGEPAGE)
    // Neighbours are one range: a large population asks piece by piece.
    if let last = denseRanges.indices.last, denseRanges[last].upperBound == range.lowerBound {
      denseRanges[last] = denseRanges[last].lowerBound..<range.upperBound
    } else {
      denseRanges.append(range)
    }
  }

  /// Writes `value` to every element of `range`.
  public mutating func fill(_ range: Range<Int>, with value: Element) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    noteWrite(of: range)
    unsafe (base + range.lowerBound).update(repeating: value, count: range.count)
  }

  /// Writes `element(index)` to every element of `range`.
  @inline(__always)
  mutating func update(_ range: Range<Int>, _ element: (Int) -> Element) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    noteWrite(of: range)
    for index in range { unsafe base[index] = element(index) }
  }

  /// How many elements pass the test, from `start` on in one direction, at most `limit`.
  ///
  /// - Parameter step: 1 or -1.
  @inline(__always)
  func countPassing(
    from start: Int, step: Int, limit: Int, _ test: (Element, Int) -> Bool
  ) -> Int {
    let room = step > 0 ? count - start : start + 1
    precondition(start >= 0 && start < count, "arena index out of range")
    let most = min(limit, room)
    var index = start
    var passed = 0
    while passed < most, test(unsafe base[index], index) {
      passed += 1
      index += step
    }
    return passed
  }

  /// Makes this arena's content that of another one of the same size, touching only pages that
  /// either has touched.
  ///
  /// - Parameter goesOn: Asked every 16 MiB; where it says no, the rest keeps what it had.
  public mutating func assign(from other: borrowing Arena, goesOn: () -> Bool = { true }) {
    assign(from: other, prefix: count, goesOn: goesOn)
  }

  /// ``assign(from:)`` for the first `prefix` elements alone, where both are known to be untouched
  /// from there on.
  public mutating func assign(
    from other: borrowing Arena, prefix: Int, goesOn: () -> Bool = { true }
  ) {
    precondition(count == other.count, "arenas of different sizes")
    precondition(!isNoted, "a machine cannot be replaced while steps may be taken back")
    precondition(prefix >= 0 && prefix <= count)
    for range in other.denseRanges { expectDenseUse(of: range) }
    let byteCount = min(byteCount, prefix * MemoryLayout<Element>.stride)
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
    while first < pages, goesOn() {
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

  /// Calls `body` with the bytes of the first `prefix` elements, a stretch at a time, and where each
  /// begins; host pages that were never touched, or hold zeros alone, are left out.
  ///
  /// - Parameter limit: The longest stretch in bytes, whole host pages.
  func forEachStretch(
    prefix: Int, limit: Int, _ body: (_ offset: Int, _ bytes: [UInt8]) throws -> Void
  ) throws {
    precondition(prefix >= 0 && prefix <= count)
    let end = prefix * MemoryLayout<Element>.stride
    let page = Pagemap.pageSize
    let pages = (end + page - 1) / page
    let pagemap = Pagemap()
    var touched = [UInt64](repeating: ~0, count: min(max(pages, 1), 4096))
    var start = 0
    var stretch: [UInt8] = []
    for first in Swift.stride(from: 0, to: pages, by: touched.count) {
      let wanted = min(touched.count, pages - first)
      let isKnown =
        unsafe pagemap?.read(&touched, wanted, from: UnsafeRawPointer(base) + first * page) ?? false
      for index in first..<first + wanted {
        let offset = index * page
        let length = min(page, end - offset)
        let bytes = unsafe UnsafeRawBufferPointer(
          start: UnsafeRawPointer(base) + offset, count: length)
        let isEmpty =
          unsafe isKnown && !Pagemap.isTouched(touched[index - first]) || Self.isZero(bytes)
        if isEmpty || stretch.count + length > limit {
          if !stretch.isEmpty { try body(start, stretch) }
          stretch.removeAll(keepingCapacity: true)
        }
        if isEmpty { continue }
        if stretch.isEmpty { start = offset }
        unsafe stretch.append(contentsOf: bytes)
      }
    }
    if !stretch.isEmpty { try body(start, stretch) }
  }

  private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var index = 0
    while index + 8 <= bytes.count {
      if unsafe bytes.load(fromByteOffset: index, as: UInt64.self) != 0 { return false }
      index += 8
    }
    while index < bytes.count {
      if unsafe bytes[index] != 0 { return false }
      index += 1
    }
    return true
  }

  /// One byte of an element, for fields of which not every byte is a value.
  func byte(_ index: Int, _ offset: Int) -> UInt8 {
    precondition(index >= 0 && index < count && offset >= 0 && offset < MemoryLayout<Element>.size)
    return unsafe UnsafeRawPointer(base + index).load(fromByteOffset: offset, as: UInt8.self)
  }

  /// Writes bytes that ``forEachStretch(prefix:limit:_:)`` gave; false when they do not fit.
  mutating func load(_ bytes: [UInt8], at offset: Int) -> Bool {
    precondition(!isNoted, "a machine cannot be replaced while steps may be taken back")
    let end = count * MemoryLayout<Element>.stride
    guard offset >= 0, offset <= end, bytes.count <= end - offset else { return false }
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe memcpy(UnsafeMutableRawPointer(base) + offset, start, source.count)
    }
    return true
  }

  /// Whether both arenas hold the same bytes.
  public func isEqual(to other: borrowing Arena) -> Bool {
    unsafe byteCount == other.byteCount && memcmp(base, other.base, byteCount) == 0
  }

  /// Whether the first `prefix` elements of both are the same bytes.
  public func isEqual(to other: borrowing Arena, prefix: Int) -> Bool {
    precondition(prefix >= 0 && prefix <= min(count, other.count))
    return unsafe memcmp(base, other.base, prefix * MemoryLayout<Element>.stride) == 0
  }
}

/// An arena's elements, for a hot loop: base and size in registers, every index checked.
///
/// Going through the arena itself reads both from memory again after every write, which took three
/// times as long over frames in random order. A view must not outlive the function that made it.
@safe struct ArenaView<Element: BitwiseCopyable> {
  fileprivate let base: UnsafeMutablePointer<Element>
  let count: Int

  @inline(__always)
  subscript(index: Int) -> Element {
    // Addresses, so that a loop reads and writes only the fields it needs.
    unsafeAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe UnsafePointer(base + index)
    }
    nonmutating unsafeMutableAddress {
      precondition(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe base + index
    }
  }

  /// Asks the processor for the cache line of an element that will be written soon; outside of the
  /// table it asks for nothing.
  @inline(__always)
  func prefetch(_ index: Int) {
    if UInt(bitPattern: index) < UInt(bitPattern: count) {
      unsafe prefetchForWriting(base + index)
    }
  }

  /// The elements of a range as a view of their own: one check for a loop over all of them, whose
  /// indices then count from 0.
  @inline(__always)
  func slice(_ first: Int, _ length: Int) -> ArenaSlice<Element> {
    precondition(first >= 0 && length >= 0 && first <= count && length <= count &- first)
    return unsafe ArenaSlice(base: base + first, count: length)
  }
}

/// A part of an arena for the innermost loops, whose indices are checked in debug builds alone.
///
/// ``ArenaView/slice(_:_:)`` has checked that the part exists; the loop stays below `count`.
@safe struct ArenaSlice<Element: BitwiseCopyable> {
  fileprivate let base: UnsafeMutablePointer<Element>
  let count: Int

  @inline(__always)
  subscript(index: Int) -> Element {
    unsafeAddress {
      assert(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe UnsafePointer(base + index)
    }
    nonmutating unsafeMutableAddress {
      assert(UInt(bitPattern: index) < UInt(bitPattern: count))
      return unsafe base + index
    }
  }

  /// The bytes of the elements from `index` on as one vector or number.
  ///
  /// - Parameter offset: Bytes to begin behind the first of the element.
  @inline(__always)
  func vector<Vector: BitwiseCopyable>(
    _ index: Int, offset: Int = 0, as _: Vector.Type
  ) -> Vector {
    assert(index >= 0 && isInside(Vector.self, index, offset))
    return unsafe UnsafeRawPointer(base + index).loadUnaligned(
      fromByteOffset: offset, as: Vector.self)
  }

  /// Writes the bytes of a vector over the elements from `index` on.
  @inline(__always)
  func store<Vector: BitwiseCopyable>(_ vector: Vector, at index: Int, offset: Int = 0) {
    assert(index >= 0 && isInside(Vector.self, index, offset))
    unsafe UnsafeMutableRawPointer(base + index).storeBytes(
      of: vector, toByteOffset: offset, as: Vector.self)
  }

  private func isInside<Vector>(_: Vector.Type, _ index: Int, _ offset: Int) -> Bool {
    let stride = MemoryLayout<Element>.stride
    return offset >= 0 && index * stride + offset + MemoryLayout<Vector>.size <= count * stride
  }
}

extension ArenaView {
  /// The bytes of the elements from `index` on as one vector: one check for all of them.
  @inline(__always)
  func vector<Vector: SIMD & BitwiseCopyable>(_ index: Int, as _: Vector.Type) -> Vector {
    let span = MemoryLayout<Vector>.size / MemoryLayout<Element>.stride
    precondition(UInt(bitPattern: index) <= UInt(bitPattern: count &- span) && span <= count)
    return unsafe UnsafeRawPointer(base + index).loadUnaligned(as: Vector.self)
  }

  /// Writes the bytes of a vector over the elements from `index` on.
  @inline(__always)
  func store<Vector: SIMD & BitwiseCopyable>(_ vector: Vector, at index: Int) {
    let span = MemoryLayout<Vector>.size / MemoryLayout<Element>.stride
    precondition(UInt(bitPattern: index) <= UInt(bitPattern: count &- span) && span <= count)
    unsafe UnsafeMutableRawPointer(base + index).storeBytes(of: vector, as: Vector.self)
  }
}

extension Arena {
  /// See ``ArenaView``.
  mutating func view() -> ArenaView<Element> { unsafe ArenaView(base: base, count: count) }
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
