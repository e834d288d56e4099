// The session as a script.

import Glibc
import Testing
import TerminalTesting

@testable import Console

@Suite struct TranscriptTests {
  @Test func savesWhatWorked() throws {
    let fixture = try Fixture()
    let terminal = try fixture.start()
    let file = "\(fixture.home.path)/out.lua"
    try terminal.wait(for: "> ")
    terminal.enter("one")
    try terminal.wait(for: "= one\n> ")
    terminal.enter("fail")
    try terminal.wait(for: "as asked\n> ")
    terminal.enter("f {")
    try terminal.wait(for: ">> ")
    terminal.enter("}")
    try terminal.wait(for: "= f {|}\n> ")
    // Twice: the second finds a file that it may replace, and no `save` is in it.
    for _ in 0..<2 {
      terminal.enter("save \(file)")
      try terminal.wait(for: "\nsaved\n> ")
    }
    #expect(
      fixture.home.read("out.lua") == """
        -- saved by fixture
        -- seed 7

        one
        f {
        }

        """)
  }

  @Test func replacesOnlyItsOwn() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/x.lua"
    folder.write("precious\n", to: "x.lua")
    let transcript = Transcript(comment: "--", mark: "saved by test")
    transcript.add("a")
    let refusal = #expect(throws: FileFailure.self) { try transcript.save(to: path) }
    #expect(refusal?.description == "\(path): File exists and is not a saved session")
    #expect(folder.read("x.lua") == "precious\n")

    try transcript.save(to: path, force: true)
    try transcript.save(to: path, header: ["two\nlines"])
    #expect(folder.read("x.lua") == "-- saved by test\n-- two\n-- lines\n\na\n")
  }

  @Test func failureLeavesNothingBehind() throws {
    let folder = try TemporaryFolder()
    let transcript = Transcript(comment: "--", mark: "saved by test")
    #expect(throws: FileFailure.self) { try transcript.save(to: "\(folder.path)/none/x") }
    #expect(throws: FileFailure.self) { try transcript.save(to: folder.path, force: true) }
    #expect(throws: FileFailure.self) { try transcript.save(to: "/dev/null", force: true) }
    #expect(unsafe rmdir(folder.path) == 0)
  }

  @Test func replacesFileBehindLink() throws {
    let folder = try TemporaryFolder()
    folder.write("-- saved by test\n", to: "real")
    #expect(unsafe symlink("\(folder.path)/real", "\(folder.path)/link") == 0)
    let transcript = Transcript(comment: "--", mark: "saved by test")
    transcript.add("a")
    try transcript.save(to: "\(folder.path)/link")
    #expect(folder.read("real") == "-- saved by test\n\na\n")
  }

  @Test func keepsWordsOfEvaluator() {
    let transcript = Transcript(comment: "#", mark: "m")
    transcript.recordCurrent(as: "print(1)")
    transcript.add("1")
    transcript.recordCurrent(as: nil)
    transcript.add("help()")
    transcript.recordCurrent(as: "lost")
    transcript.forgetCurrent()
    transcript.add("2")
    #expect(transcript.inputs == ["print(1)", "2"])
  }
}
