defmodule Penstock.SetupTest do
  # The set-up of bin/test and bin/demo, on machines that are made of scripts.
  use ExUnit.Case, async: true

  @moduletag :tmp_dir
  @setup Path.expand("../bin/lib/setup.sh", __DIR__)
  @tools ~w(bash sh env sort head tail cat grep dirname uname mktemp rm)

  setup %{tmp_dir: dir} do
    File.mkdir_p!(Path.join(dir, "bin"))
    for tool <- @tools, do: File.ln_s!(System.find_executable(tool), Path.join(dir, "bin/#{tool}"))
    has(dir, "id", "echo 0")
    has(dir, "apt-get", "echo apt-get $@ >> #{dir}/log")
    has(dir, "curl", "echo curl >> #{dir}/log; echo 'curl: (6) no such host'; exit 6")
    system(dir, "ID=debian\nVERSION_ID=\"12\"\n")
    :ok
  end

  test "a machine that has everything is left alone, without a word", %{tmp_dir: dir} do
    for complete <- [:elixir, :linker, {:rust, "1.91.0"}], do: give(dir, complete)

    assert set_up(dir) == {"", 0}
    assert log(dir) == ""
  end

  test "on Debian 12 what is missing is announced and installed from its packages", %{tmp_dir: dir} do
    give(dir, {:rust, "1.95.0"})

    assert {"set-up: installing from Debian's packages: elixir gcc libc6-dev\n", 0} = set_up(dir)
    assert log(dir) =~ "apt-get update\napt-get install -y --no-install-recommends elixir gcc libc6-dev"
  end

  test "a linker without the files of the C library counts as missing", %{tmp_dir: dir} do
    for there <- [:elixir, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "cc", "echo crt1.o")

    assert {"set-up: installing from Debian's packages: gcc libc6-dev\n", 0} = set_up(dir)
  end

  test "without root, sudo is used", %{tmp_dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "id", "echo 1000")
    has(dir, "sudo", "echo sudo $1 >> #{dir}/log; shift; \"$@\"")

    assert {"set-up: installing from Debian's packages: elixir\n", 0} = set_up(dir)
    assert log(dir) =~ "sudo -n\napt-get update\n"
  end

  test "without root and sudo the command to run is named", %{tmp_dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "id", "echo 1000")

    assert {said, 1} = set_up(dir)
    assert said =~ "run this as root, and then again: apt-get install -y --no-install-recommends elixir\n"
    assert log(dir) == ""
  end

  test "another system is told what to install", %{tmp_dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    system(dir, "ID=fedora\nVERSION_ID=42\n")

    assert {said, 1} = set_up(dir)
    assert said =~ "what these packages of Debian 12 hold, and run this again: elixir\n"
    assert log(dir) == ""
  end

  test "packages that cannot be had are named, with the last words of apt", %{tmp_dir: dir} do
    for there <- [:linker, {:rust, "1.95.0"}], do: give(dir, there)
    has(dir, "apt-get", "echo 'E: Could not resolve host'; exit 100")

    assert {said, 1} = set_up(dir)
    assert said =~ "E: Could not resolve host\n"

    assert said =~
             "run this as root, and then again: apt-get update && apt-get install -y --no-install-recommends elixir\n"
  end

  test "a missing Rust is announced and installed by the installer of rustup", %{tmp_dir: dir} do
    for there <- [:elixir, :linker], do: give(dir, there)
    installer = "mkdir -p $CARGO_HOME/bin; printf '#!/bin/sh\\necho cargo 1.95.0' > $CARGO_HOME/bin/cargo"
    for tool <- ~w(mkdir chmod), do: File.ln_s!(System.find_executable(tool), Path.join(dir, "bin/#{tool}"))

    has(
      dir,
      "curl",
      "while [ $1 != --output ]; do shift; done; echo \"#{installer}; chmod +x $CARGO_HOME/bin/cargo\" > $2"
    )

    assert set_up(dir) == {"set-up: installing Rust with rustup's own installer, into #{dir}/cargo\n", 0}
  end

  test "a Rust that is too old is renewed by the rustup that is there", %{tmp_dir: dir} do
    for there <- [:elixir, :linker, {:rust, "1.90.2"}], do: give(dir, there)

    has(
      dir,
      "rustup",
      "echo rustup $@ >> #{dir}/log; printf '#!/bin/sh\\necho cargo 1.95.0' > #{dir}/bin/cargo"
    )

    assert set_up(dir) == {"set-up: renewing Rust with rustup (Penstock needs 1.91 or newer)\n", 0}
    assert log(dir) =~ "rustup toolchain install stable --profile minimal"
  end

  test "a Rust that cannot be had is named, with the command that installs it", %{tmp_dir: dir} do
    for there <- [:elixir, :linker], do: give(dir, there)

    assert {said, 1} = set_up(dir)
    assert said =~ "curl: (6) no such host (https://sh.rustup.rs)"
    assert said =~ "Rust 1.91 or newer could not be installed; please install it, with clippy and rustfmt"
    assert said =~ "https://sh.rustup.rs | sh"
  end

  defp give(dir, :elixir), do: for(name <- ~w(erl mix), do: has(dir, name, "exit 1"))
  defp give(dir, :linker), do: has(dir, "cc", "echo /usr/lib/crt1.o")
  defp give(dir, {:rust, version}), do: has(dir, "cargo", "echo cargo #{version}")

  defp has(dir, name, script) do
    path = Path.join(dir, "bin/#{name}")
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

  defp set_up(dir) do
    script = ". #{@setup}; os_release=#{dir}/os-release; setup_build"
    env = [{"PATH", Path.join(dir, "bin")}, {"CARGO_HOME", Path.join(dir, "cargo")}]
    # Without a terminal, as in CI.
    System.cmd("sh", ["-c", "exec bash -euc '#{script}' </dev/null"], env: env, stderr_to_stdout: true)
  end
end
