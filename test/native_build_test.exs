defmodule Penstock.NativeBuildTest do
  # Not async: it compiles into the build folder that this very run was started from.
  use ExUnit.Case, async: false

  @moduletag :tmp_dir
  @moduletag timeout: 120_000
  @root Path.expand("..", __DIR__)
  @target Path.join(@root, "_build/native")
  @library Application.app_dir(:penstock, "priv/native/penstock_nif.so")

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

    test "in a folder that cannot be written to says which, and how to name another", %{tmp_dir: dir} do
      machine = bare_machine(dir)
      executable(dir, "bin/cargo", "echo 'cargo 9.0.0'")
      file = Path.join(dir, "file")
      File.touch!(file)
      {said, status} = mix_compile([{"PENSTOCK_TARGET_DIR", Path.join(file, "target")} | machine])

      assert status == 1
      assert said =~ "cannot be built in #{file}/target: not a directory"
      assert said =~ "PENSTOCK_TARGET_DIR can name another folder"
    end
  end

  describe "a build" do
    test "says what it does, how far it is, and all that cargo has to say but its own steps", %{tmp_dir: dir} do
      {said, status} =
        compile_with(dir, ~S"""
        printf '    Updating crates.io index\n   Compiling one v1.0.0\n'
        printf '    Building [==>   ] 1/3: two, three\r                    \rwarning: of one\n'
        printf '    Building [====> ] 2/3: three\r'
        sleep 6
        echo 'error: of three'
        exit 101
        """)

      assert status == 1

      assert [
               "Building Penstock's Rust core (some minutes the first time)",
               "warning: of one",
               "Penstock's Rust core: building 2 of 3 (three), " <> _,
               "error: of three",
               "cargo could not build Penstock's core (exit status 101); what it said is above"
             ] = String.split(said, "\n", trim: true)
    end

    test "says that there is no network in cargo's own words while cargo tries again", %{tmp_dir: dir} do
      # Takes connections and never answers, as networks that drop everything seem to.
      {:ok, socket} = :gen_tcp.listen(0, ip: {127, 0, 0, 1}, backlog: 100)
      {:ok, number} = :inet.port(socket)

      mix =
        start_mix([
          {"CARGO_HOME", Path.join(dir, "home")},
          {"RUSTUP_HOME", System.get_env("RUSTUP_HOME") || Path.join(System.user_home!(), ".rustup")},
          {"PENSTOCK_TARGET_DIR", Path.join(dir, "target")},
          {"CARGO_HTTP_PROXY", "http://127.0.0.1:#{number}"},
          {"CARGO_HTTP_TIMEOUT", "1"}
        ])

      assert said_before(mix, "Timeout was reached") =~ "warning: spurious network error (2 tries remaining)"
      stop(mix)
    end

    test "ends cargo and what that has started when its own VM is killed", %{tmp_dir: dir} do
      machine = bare_machine(dir)
      held = Path.join(dir, "held")
      {_, 0} = System.cmd("mkfifo", [held])

      executable(dir, "bin/cargo", """
      if [ $1 = --version ]; then echo 'cargo 9.0.0'; exit; fi
      exec 9>'#{held}'
      sleep 1000 &
      echo '   Compiling one v1.0.0'
      wait
      """)

      # Ends when nobody has the pipe open any more.
      reader = port("cat", [held])
      mix = start_mix(machine)
      said_before(mix, "Building Penstock's Rust core")
      stop(mix)

      assert_receive {^reader, {:exit_status, 0}}, 30_000
    end

    test "without a C compiler names the packages before cargo runs into it", %{tmp_dir: dir} do
      {said, status} = compile_with(dir, "echo '   Compiling one v1.0.0'; exec sleep 1000", without: ["cc"])

      assert status == 1
      assert said =~ "linked by a C compiler, and there is none (`cc` is not on the PATH)"
      assert said =~ "`apt-get update && apt-get install -y gcc libc6-dev`"
    end

    test "with a C compiler that has no C library names its package", %{tmp_dir: dir} do
      compiler = fn -> executable(dir, "bin/cc", "echo crt1.o") end

      {said, status} =
        compile_with(dir, "echo '   Compiling one v1.0.0'; exec sleep 1000", without: ["cc"], and: compiler)

      assert status == 1
      assert said =~ "bin/cc has no C library"
      assert said =~ "`apt-get update && apt-get install -y libc6-dev`"
    end

    test "with a linker of one's own needs no other", %{tmp_dir: dir} do
      linker = [{"CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER", "ld.lld"}]
      {said, _} = compile_with(dir, "echo '   Compiling one v1.0.0'; exit 7", without: ["cc"], env: linker)

      assert said =~ "exit status 7"
    end

    test "that has nothing to do needs no C compiler", %{tmp_dir: dir} do
      finished = "echo '    Finished `release` profile'"
      {said, _} = compile_with(dir, finished, without: ["cc"])

      assert said =~ "cargo has built Penstock's core, but not"
    end
  end

  describe "the library" do
    test "is installed below _build, without its symbols" do
      assert @library =~ "/_build/test/lib/penstock/"
      assert File.stat!(@library).size < 11_000_000
      refute File.exists?(Path.join(@root, "priv"))
    end

    test "keeps its symbols with PENSTOCK_KEEP_SYMBOLS=1, and loses them with 0", %{tmp_dir: dir} do
      built = Path.join(@target, "release/libpenstock_nif.so")

      assert install(dir, "1") == {"", 0}
      assert File.stat!(installed(dir)).size == File.stat!(built).size
      assert install(dir, "0") == {"", 0}
      assert File.read!(installed(dir)) == File.read!(@library)
    end

    test "is not installed with another PENSTOCK_KEEP_SYMBOLS", %{tmp_dir: dir} do
      assert {said, 1} =
               mix_compile([{"PENSTOCK_KEEP_SYMBOLS", "yes"}, {"MIX_BUILD_PATH", dir} | real_target()])

      assert said =~ ~s[PENSTOCK_KEEP_SYMBOLS takes 1 (keep symbols) or 0 (leave them out), not "yes"]
    end

    test "is whole, with its symbols, where nothing can leave them out", %{tmp_dir: dir} do
      target = Path.join(dir, "target")
      File.mkdir_p!(Path.join(target, "release"))
      File.write!(Path.join(target, "release/libpenstock_nif.so"), "no library")
      machine = bare_machine(dir, ["strip"])
      executable(dir, "bin/cargo", "echo 'cargo 9.0.0'")

      assert {said, 0} = install(dir, "0", [{"PENSTOCK_TARGET_DIR", target} | machine])
      assert said =~ "keeps its symbols: there is no `strip` that works (Debian: binutils)"
      assert File.read!(installed(dir)) == "no library"
    end

    test "of an earlier version is taken out of the source tree, and nothing else is", %{tmp_dir: dir} do
      tree = copy_of_build_files(dir)
      left = Path.join(tree, "priv/native/penstock_nif.so")
      File.mkdir_p!(Path.dirname(left))
      File.write!(left, "")
      File.mkdir_p!(Path.join(tree, "_build/test/lib/penstock"))
      File.ln_s!("../../../../priv", Path.join(tree, "_build/test/lib/penstock/priv"))

      assert {"", 0} = mix(["compile.penstock_native"], real_target(), tree)
      refute File.exists?(Path.join(tree, "priv"))
      assert File.dir?(Path.join(tree, "_build/test/lib/penstock/priv/native"))

      File.mkdir_p!(Path.dirname(left))
      File.write!(left, "")
      File.write!(Path.join(tree, "priv/mine"), "")
      assert {"", 0} = mix(["compile.penstock_native"], real_target(), tree)
      assert File.exists?(Path.join(tree, "priv/mine"))
    end
  end

  # The build's own files, with a cargo that finds nothing to do: the real one would build the copy.
  defp copy_of_build_files(dir) do
    tree = Path.join(dir, "tree")
    File.mkdir_p!(Path.join(tree, "native"))

    for file <- ["mix.exs", "native/with_parent" | Path.wildcard(Path.join(@root, "native/*.exs"))] do
      file = Path.relative_to(file, @root)
      File.cp!(Path.join(@root, file), Path.join(tree, file))
    end

    tree
  end

  # Only what this compiler does, into a build folder of its own.
  defp install(dir, keep, env \\ real_target()) do
    mix(["compile.penstock_native"], [
      {"PENSTOCK_KEEP_SYMBOLS", keep},
      {"MIX_BUILD_PATH", Path.join(dir, "build")} | env
    ])
  end

  defp real_target, do: [{"PENSTOCK_TARGET_DIR", @target}]

  defp installed(dir), do: Path.join(dir, "build/lib/penstock/priv/native/penstock_nif.so")

  # A cargo that is this script, on a machine that lacks some programs.
  defp compile_with(dir, script, opts \\ []) do
    machine = bare_machine(dir, Keyword.get(opts, :without, []))
    executable(dir, "bin/cargo", "if [ $1 = --version ]; then echo 'cargo 9.0.0'; exit; fi\n#{script}")
    Keyword.get(opts, :and, fn -> :ok end).()
    mix_compile([{"PENSTOCK_TARGET_DIR", Path.join(dir, "target")} | Keyword.get(opts, :env, [])] ++ machine)
  end

  defp start_mix(env), do: port("mix", ["compile"], env)

  defp port(program, args, env \\ []) do
    Port.open({:spawn_executable, System.find_executable(program)}, [
      :binary,
      :exit_status,
      :stderr_to_stdout,
      args: args,
      cd: @root,
      env: for({name, value} <- [{"MIX_ENV", "test"} | env], do: {to_charlist(name), to_charlist(value)})
    ])
  end

  # What the port has said up to these words.
  defp said_before(port, words, said \\ "") do
    if said =~ words do
      said
    else
      assert_receive {^port, {:data, data}}, 60_000
      said_before(port, words, said <> data)
    end
  end

  # As hard as can be: nothing in that VM has a chance to see to cargo.
  defp stop(port) do
    {:os_pid, process} = Port.info(port, :os_pid)
    {_, 0} = System.cmd("kill", ["-KILL", to_string(process)])
    assert_receive {^port, {:exit_status, _}}, 30_000
  end

  # Everything that is on the PATH here but cargo and what else is to be missing, and a home without a toolchain.
  defp bare_machine(dir, without \\ []) do
    bin = Path.join(dir, "bin")
    File.mkdir_p!(bin)

    for folder <- path(), {:ok, names} <- [File.ls(folder)], name <- names, name not in ["cargo" | without] do
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

  defp mix_compile(env), do: mix(["compile"], env)

  defp mix(args, env, tree \\ @root) do
    System.cmd("mix", args, cd: tree, env: [{"MIX_ENV", "test"} | env], stderr_to_stdout: true)
  end

  defp times(text, part), do: length(String.split(text, part)) - 1
end
