// printf's field widths, without printf: the texts here are counted in columns of one character.

extension String {
  /// Right-aligned in `width` columns, like `%*s`; longer texts are kept whole.
  func padded(left width: Int) -> String {
    let missing = width - count
    return missing > 0 ? String(repeating: " ", count: missing) + self : self
  }

  /// Left-aligned in `width` columns, like `%-*s`; longer texts are kept whole.
  func padded(right width: Int) -> String {
    let missing = width - count
    return missing > 0 ? self + String(repeating: " ", count: missing) : self
  }
}

extension BinaryInteger {
  /// Right-aligned in `width` columns, like `%*lu`.
  func padded(_ width: Int) -> String { String(self).padded(left: width) }

  /// Lower-case hexadecimal digits with `0x` before them, like `0x%lx`.
  var hex: String { "0x" + String(self, radix: 16) }
}
