import Foundation
import LuaBridge
import MemoryLua
import Testing

/// What is generated from the declarations is what the repository holds.
@Suite struct ReferenceTests {
  static let docs = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../docs").standardized

  let library = MemoryLibrary.library(MemoryContext())

  func document(_ name: String) throws -> String {
    try String(contentsOf: Self.docs.appendingPathComponent(name), encoding: .utf8)
  }

  @Test func markdownIsFresh() throws {
    let written = try document("lua-api.md")
    #expect(
      written == LuaReferenceText.markdown(library), "docs/lua-api.md is stale: Scripts/reference")
  }

  @Test func editorDefinitionsAreFresh() throws {
    let written = try document("pinlab.lua")
    #expect(
      written == LuaReferenceText.meta(library), "docs/pinlab.lua is stale: Scripts/reference")
  }
}
