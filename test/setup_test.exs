defmodule Penstock.SetupTest do
  # The set-up of bin/test and bin/demo, on machines that are made of scripts.
  use ExUnit.Case, async: true

  @moduletag :tmp_dir
  @root Path.expand("..", __DIR__)
  @tools ~w(bash sh env sort head tail cat grep dirname uname mktemp rm sed find touch mv cp mkdir chmod)

  # In a folder with a space in its name, as a tree may be.
  setup %{tmp_dir: tmp_dir} do
    dir = Path.join(tmp_dir, "a machine")
    File.rm_rf!(dir)
    File.mkdir_p!(Path.join(dir, "bin"))
    for tool <- @tools, do: File.ln_s!(System.find_executable(tool), Path.join(dir, "bin/#{tool}"))
    has(dir, "id", "echo 0")
    has(dir, "apt-get", "echo apt-get $@ >> '#{dir}/log'")
    has(dir, "curl", "echo curl >> '#{dir}/log'; echo 'curl: (6) no such host'; exit 6")
    system(dir, "ID=debian\nVERSION_ID=\"12\"\n")
    {:ok, dir: dir, tree: copy_of_scripts(dir)}
  end

  test "a machine that has everything is left alone, without a word", %{dir: dir} do
    for complete <- [:elixir, :linker, {:rust, "1.91.0"}], do: give(dir, complete)

    assert set_up(dir) == {"", 0}
    assert log(dir) == ""
  end

  test "on Debian 12 what is missing is announced and installed from its packages", %{dir: dir} do
    give(dir, {:rust, "1.95.0"})

    assert {"set-up: installing from Debian's packages: elixir gcc libc6-dev\n", 0} = set_up(dir)
    assert log(dir) =~ "apt-get update\napt-get install -y --no-install-recommends elixir gcc libc6-dev"
  end

  test "a linker without the files of the C library counts as missing", %{dir: dir} do
    for there <- [:elixir, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "cc", "echo crt1.o")

    assert {"set-up: installing from Debian's packages: gcc libc6-dev\n", 0} = set_up(dir)
  end

  test "without root, sudo is used", %{dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "id", "echo 1000")
    has(dir, "sudo", "echo sudo $1 >> '#{dir}/log'; shift; \"$@\"")

    assert {"set-up: installing from Debian's packages: elixir\n", 0} = set_up(dir)
    assert log(dir) =~ "sudo -n\napt-get update\n"
  end

  test "without root and sudo the command to run is named", %{dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "id", "echo 1000")

    assert {said, 1} = set_up(dir)

    assert said =~
             "run this as root, and then again: apt-get update && apt-get install -y --no-install-recommends elixir\n"

    assert log(dir) == ""
  end

  test "another system is told what to install", %{dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    system(dir, "ID=fedora\nVERSION_ID=42\n")

    assert {said, 1} = set_up(dir)
    assert said =~ "what these packages of Debian hold, and run this again: elixir\n"
    assert log(dir) == ""
  end

  test "packages that cannot be had are named, with the last words of apt", %{dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "apt-get", "echo 'E: Could not resolve host'; exit 100")

    assert {said, 1} = set_up(dir)
    assert said =~ "E: Could not resolve host\n"

    assert said =~
             "run this as root, and then again: apt-get update && apt-get install -y --no-install-recommends elixir\n"
  end

  test "a missing Rust is announced and installed by the installer of rustup", %{dir: dir} do
    for there <- [:elixir, :linker], do: give(dir, there)

    File.write!(Path.join(dir, "installer"), """
    mkdir -p "$CARGO_HOME/bin"
    printf '#!/bin/sh\\necho cargo 1.95.0' > "$CARGO_HOME/bin/cargo"
    chmod +x "$CARGO_HOME/bin/cargo"
    """)

    has(dir, "curl", "while [ $1 != --output ]; do shift; done; cp '#{dir}/installer' $2")

    assert set_up(dir) == {"set-up: installing Rust with rustup's own installer, into #{dir}/cargo\n", 0}
  end

  test "a Rust that is too old is renewed by the rustup that is there", %{dir: dir} do
    for there <- [:elixir, :linker, {:rust, "1.90.2"}], do: give(dir, there)

    has(
      dir,
      "rustup",
      "echo rustup $@ >> '#{dir}/log'; printf '#!/bin/sh\\necho cargo 1.95.0' > '#{dir}/bin/cargo'"
    )

    assert set_up(dir) == {"set-up: renewing Rust with rustup (Penstock needs 1.91 or newer)\n", 0}
    assert log(dir) =~ "rustup toolchain install stable --profile minimal"
  end

  test "a Rust that cannot be had is named, with the command that installs it", %{dir: dir} do
    for there <- [:elixir, :linker], do: give(dir, there)

    assert {said, 1} = set_up(dir)
    assert said =~ "curl: (6) no such host (https://sh.rustup.rs)"
    assert said =~ "Rust 1.91 or newer could not be installed; please install it, with clippy and rustfmt"
    assert said =~ "https://sh.rustup.rs | sh"
  end

  test "Debian without a number yet is newer than any", %{dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    system(dir, "ID=debian\nVERSION_CODENAME=forky\n")

    assert {"set-up: installing from Debian's packages: elixir\n", 0} = set_up(dir)
  end

  test "every command says what it takes on a machine that has nothing, and touches nothing", %{dir: dir} do
    for {command, takes} <- [{"demo", "--stream NAME"}, {"server", "--port N"}, {"test", "conformance"}],
        help <- ["--help", "-h"] do
      assert {said, 0} = run(dir, ["bin/#{command}", help])
      assert said =~ ~r/\Ausage: /
      assert said =~ takes
      refute said =~ "set-up:"
    end

    assert log(dir) == ""
  end

  test "the embedded server is built once, said so, and started with its arguments", %{dir: dir} do
    give_server(dir)
    has(dir, "strip", "cp \"$3\" \"$2\"; echo strip >> '#{dir}/log'")

    assert {said, 0} = run(dir, ["bin/server", "--data", "a b"])
    assert said =~ "set-up: building the embedded server (some minutes the first time)\n"
    assert said =~ "   Compiling server\n"
    assert said =~ "served --data|a b|\n"
    assert log(dir) == "strip\n"
    assert run(dir, ["bin/server"]) == {"served \n", 0}
  end

  test "the embedded server is built again when a source is newer", %{dir: dir, tree: tree} do
    give_server(dir)
    run(dir, ["bin/server"])
    File.touch!(Path.join(tree, "native/server/src/main.rs"), System.os_time(:second) + 2)

    assert {"set-up: building the embedded server" <> _, 0} = run(dir, ["bin/server"])
  end

  test "the embedded server keeps its symbols on demand", %{dir: dir} do
    give_server(dir)
    has(dir, "strip", "echo strip >> '#{dir}/log'; exit 1")

    assert {said, 0} = run(dir, ["bin/server"], [{"PENSTOCK_KEEP_SYMBOLS", "1"}])
    assert said =~ "served"
    assert log(dir) == ""

    assert run(dir, ["bin/server"], [{"PENSTOCK_KEEP_SYMBOLS", "yes"}]) ==
             {~s[set-up: PENSTOCK_KEEP_SYMBOLS takes 1 (keep symbols) or 0 (leave them out), not "yes"\n], 1}
  end

  test "a server that cannot be built is said, after cargo's own words", %{dir: dir} do
    for complete <- [:elixir, :linker], do: give(dir, complete)

    has(
      dir,
      "cargo",
      "if [ $1 = --version ]; then echo cargo 1.95.0; else echo 'error: no' >&2; exit 101; fi"
    )

    assert {said, 1} = run(dir, ["bin/server"])
    assert said =~ "error: no\nset-up: the embedded server could not be built; what cargo said is above\n"
  end

  test "npm's reason is shown when the Node client cannot be had", %{dir: dir} do
    give_checks(dir)
    has(dir, "npm", "echo 'npm error code E403' >&2; exit 1")

    assert {said, 1} = run(dir, ["test/clients/check", "node"])

    assert said =~
             "npm error code E403\nset-up: the Node client could not be had from npm (its words are above)"
  end

  test "a part of the tests that fails says how to run it by itself", %{dir: dir} do
    give_checks(dir)
    has(dir, "mix", "exit 1")

    assert {said, 1} = run(dir, ["bin/test", "format", "host"])
    assert said =~ "=== format: cargo fmt and mix format find nothing to change\n"
    assert said =~ "=== format failed; by itself it runs with: bin/test format\n"
    assert said =~ "bin/test: 2 parts, 2 failed (format host)"
  end

  defp give(dir, :elixir), do: for(name <- ~w(erl mix), do: has(dir, name, "exit 1"))
  defp give(dir, :linker), do: has(dir, "cc", "echo /usr/lib/crt1.o")
  defp give(dir, {:rust, version}), do: has(dir, "cargo", "echo cargo #{version}")

  defp give_checks(dir) do
    for complete <- [:elixir, :linker, {:rust, "1.95.0"}], do: give(dir, complete)
    for name <- ~w(git npm), do: has(dir, name, "exit 0")
    has(dir, "node", "echo v22.0.0")
    put(dir, "a tree/_build/python/bin/python", "exit 0")
  end

  # A cargo whose server says what it was started with.
  defp give_server(dir) do
    for complete <- [:elixir, :linker], do: give(dir, complete)

    File.write!(Path.join(dir, "server"), """
    #!/bin/sh
    printf 'served '
    [ $# -eq 0 ] || printf '%s|' "$@"
    echo
    """)

    has(dir, "cargo", """
    [ $1 = --version ] && echo cargo 1.95.0 && exit
    echo '   Compiling server' >&2
    mkdir -p "$CARGO_TARGET_DIR/release"
    cp '#{dir}/server' "$CARGO_TARGET_DIR/release/penstock-server"
    chmod +x "$CARGO_TARGET_DIR/release/penstock-server"
    """)
  end

  # The commands, and what they look at, in a tree of their own.
  defp copy_of_scripts(dir) do
    tree = Path.join(dir, "a tree")

    for part <- ~w(bin test/clients/check native/server/src Cargo.lock) do
      File.mkdir_p!(Path.dirname(Path.join(tree, part)))
      File.cp_r!(Path.join(@root, part), Path.join(tree, part))
    end

    # Long ago, as sources are.
    sources = [Path.join(tree, "Cargo.lock") | Path.wildcard(Path.join(tree, "native/**/*.rs"))]
    for file <- sources, do: File.touch!(file, 1_600_000_000)
    tree
  end

  defp has(dir, name, script), do: put(dir, "bin/#{name}", script)

  defp put(dir, name, script) do
    path = Path.join(dir, name)
    File.mkdir_p!(Path.dirname(path))
    File.write!(path, "#!/bin/sh\n#{script}\n")
    File.chmod!(path, 0o755)
  end

  defp system(dir, text), do: File.write!(Path.join(dir, "os-release"), text)

  defp log(dir) do
    case File.read(Path.join(dir, "log")) do
      {:ok, text} -> text
      {:error, :enoent} -> ""
    end
  end

  defp set_up(dir), do: run(dir, ["-c", ". bin/lib/setup.sh; os_release='#{dir}/os-release'; setup_build"])

  # Without a terminal, as in CI.
  defp run(dir, args, env \\ []) do
    env = [{"PATH", Path.join(dir, "bin")}, {"CARGO_HOME", Path.join(dir, "cargo")} | env]
    script = ~S(exec bash -eu "$@" </dev/null)

    System.cmd("sh", ["-c", script, "sh" | args],
      cd: Path.join(dir, "a tree"),
      env: env,
      stderr_to_stdout: true
    )
  end
end
