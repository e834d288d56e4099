/// Where the pages that a walk finds are written down: the words of one ``PinRecord``.
package struct PinCursor: Hashable, Sendable {
  /// The next word.
  package var position: Int
  package let start: Int
  package let end: Int
  /// Pages written since `start`.
  package var pages = 0

  package init(_ words: Range<Int>) {
    position = words.lowerBound
    start = words.lowerBound
    end = words.upperBound
  }
}

/// Why a walk stopped before its end.
package enum WalkStop: Sendable, Equatable {
  /// Nothing there that may be accessed: a fault is due.
  case absent
  /// A private copy has to be made first (rule P3.14).
  case mustUnshare
  /// The fast walk cannot go on; the slow path takes over.
  case slowPath
  /// An entry without a `struct page`.
  case noStructPage
  /// The reference count is used up.
  case overflow
  /// Rule P3.23.
  case grabRefused
}
