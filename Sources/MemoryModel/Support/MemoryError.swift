/// What a machine cannot be built from, or cannot do, in words for the person who asked.
///
/// The message names the thing, its value and the fix.
public struct MemoryError: Error, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    /// A configuration that no machine can have.
    case configuration
    /// The host refused the memory for the model itself.
    case hostMemory
    /// A frame, block or list that is not what the caller says.
    case misuse
    /// Whoever asked for it wants it no more.
    case stopped
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}

/// What the modelled kernel refused: an errno, why, and the rule that says so.
public struct Refusal: Error, Sendable, Hashable, Codable {
  public let errno: Errno
  public let message: String
  public let rule: String

  public init(_ errno: Errno, _ message: String, rule: String) {
    self.errno = errno
    self.message = message
    self.rule = rule
  }
}

/// The error numbers that the modelled kernel returns (rule P0.2).
public enum Errno: Int, Sendable, Codable {
  case EPERM = 1
  case ENOENT = 2
  case ESRCH = 3
  case EINTR = 4
  case EAGAIN = 11
  case ENOMEM = 12
  case EACCES = 13
  case EFAULT = 14
  case EBUSY = 16
  case EEXIST = 17
  case ENODEV = 19
  case EINVAL = 22
  case ENOTTY = 25
  case ENOSPC = 28
  case EOPNOTSUPP = 95

  public var name: String { String(describing: self) }
}
