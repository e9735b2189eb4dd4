defmodule Penstock.NativeBuildTest do
  # Not async: it compiles into the build folder that this very run was started from.
  use ExUnit.Case, async: false

  @moduletag :tmp_dir
  @moduletag timeout: 120_000
  @root Path.expand("..", __DIR__)
  @library Path.join(@root, "priv/native/penstock_nif.so")

  describe "mix compile" do
    test "without a change leaves the library alone and says nothing" do
      before = File.stat!(@library)

      assert mix_compile([]) == {"", 0}
      assert File.stat!(@library).inode == before.inode
    end

    test "on a machine without Rust says once what is missing and how to get it", %{tmp_dir: dir} do
      {said, status} = mix_compile(bare_machine(dir))

      assert status == 1
      assert said =~ "built from Rust 1.91.0 or newer, and no Rust toolchain was found"
      assert said =~ "https://sh.rustup.rs"
      assert times(said, "Penstock's core") == 1
    end

    test "with a Rust that is too old names it, its version and the remedy once", %{tmp_dir: dir} do
      machine = bare_machine(dir)
      old = executable(dir, "bin/cargo", "echo 'cargo 1.63.0 (fd9c4297c 2022-07-01)'")
      {said, status} = mix_compile(machine)

      assert status == 1
      assert said =~ "built from Rust 1.91.0 or newer, and #{old} is 1.63.0"
      assert said =~ "rustup update stable"
      assert times(said, "Penstock's core") == 1
    end

    test "with a cargo that cannot be asked says what it answered", %{tmp_dir: dir} do
      machine = bare_machine(dir)
      executable(dir, "bin/cargo", "echo 'rustup could not choose a version of cargo'; exit 1")
      {said, status} = mix_compile(machine)

      assert status == 1
      assert said =~ "said: rustup could not choose a version of cargo"
    end

    test "whose cargo builds to another place says which file it missed", %{tmp_dir: dir} do
      machine = bare_machine(dir)
      executable(dir, "bin/cargo", "echo 'cargo 1.95.0'")
      {said, status} = mix_compile([{"PENSTOCK_TARGET_DIR", dir} | machine])

      assert status == 1

      assert said =~
               "but not #{dir}/release/libpenstock_nif.so; does a configuration of cargo's set build.target?"
    end

    test "takes a newer cargo from CARGO_HOME before an old one on the PATH", %{tmp_dir: dir} do
      machine = bare_machine(dir)
      executable(dir, "bin/cargo", "echo 'cargo 1.63.0'")

      executable(
        dir,
        "home/bin/cargo",
        "if [ $1 = --version ]; then echo 'cargo 9.0.0'; else echo $@; exit 3; fi"
      )

      {said, status} = mix_compile(machine)

      assert status == 1
      assert said =~ "build --release --locked"
      assert said =~ "cargo could not build Penstock's core (exit status 3)"
    end
  end

  # Everything that is on the PATH here but cargo, and a home without a toolchain.
  defp bare_machine(dir) do
    bin = Path.join(dir, "bin")
    File.mkdir_p!(bin)

    for folder <- path(), {:ok, names} <- [File.ls(folder)], name <- names, name != "cargo" do
      File.ln_s(Path.join(folder, name), Path.join(bin, name))
    end

    [{"PATH", bin}, {"CARGO_HOME", Path.join(dir, "home")}]
  end

  defp path, do: "PATH" |> System.get_env() |> String.split(":", trim: true) |> Enum.map(&Path.expand/1)

  defp executable(dir, name, script) do
    path = Path.join(dir, name)
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, "#!/bin/sh\n#{script}\n")
    File.chmod!(path, 0o755)
    path
  end

  defp mix_compile(env) do
    System.cmd("mix", ["compile"], cd: @root, env: [{"MIX_ENV", "test"} | env], stderr_to_stdout: true)
  end

  defp times(text, part), do: length(String.split(text, part)) - 1
end
