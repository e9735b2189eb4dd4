defmodule Mix.Tasks.Compile.PenstockNative do
  @moduledoc """
  Builds the Rust core with cargo, in release mode, and puts the library where `Penstock.Native` loads it from.

  Cargo decides what is to be rebuilt; without a change it is asked and answers in a moment. The library is
  replaced by renaming a finished copy into its place, so a VM that has the old one loaded keeps it.
  """

  use Mix.Task.Compiler

  @oldest_rust {1, 91, 0}
  @root Path.expand("..", __DIR__)
  @package "penstock_nif"

  @impl Mix.Task.Compiler
  def run(_args) do
    with {:ok, cargo} <- cargo(),
         :ok <- build(cargo) do
      install()
    else
      {:error, message} ->
        Mix.shell().error(message)

        {:error,
         [
           %Mix.Task.Compiler.Diagnostic{
             compiler_name: "penstock_native",
             file: nil,
             position: 0,
             message: message,
             severity: :error
           }
         ]}
    end
  end

  @impl Mix.Task.Compiler
  def clean, do: File.rm_rf!(Path.join(@root, "priv/native"))

  # A shell that was open while rustup ran does not have its folder on the path yet, and may find an older cargo.
  defp cargo do
    found = Enum.filter([System.find_executable("cargo"), Path.join(cargo_home(), "bin/cargo")], &present?/1)

    case Enum.find(found, &(new_enough(&1) == :ok)) do
      nil -> {:error, missing(found)}
      path -> {:ok, path}
    end
  end

  defp cargo_home do
    case System.get_env("CARGO_HOME", "") do
      "" -> Path.join(System.user_home() || "/", ".cargo")
      path -> path
    end
  end

  defp present?(path), do: is_binary(path) and File.exists?(path)

  defp new_enough(cargo) do
    case System.cmd(cargo, ["--version"], stderr_to_stdout: true) do
      {"cargo " <> version, 0} ->
        if version(version) >= @oldest_rust, do: :ok, else: {:error, "#{cargo} is #{String.trim(version)}"}

      {said, _} ->
        {:error, "`#{cargo} --version` said: #{String.trim(said)}"}
    end
  end

  defp version(text) do
    case Regex.run(~r/^(\d+)\.(\d+)\.(\d+)/, text) do
      [_ | numbers] -> numbers |> Enum.map(&String.to_integer/1) |> List.to_tuple()
      nil -> {0, 0, 0}
    end
  end

  defp missing([]), do: remedy("no Rust toolchain was found (`cargo` is not on the PATH)")

  defp missing([first | _]) do
    {:error, found} = new_enough(first)
    remedy(found)
  end

  defp remedy(found) do
    oldest = @oldest_rust |> Tuple.to_list() |> Enum.join(".")

    """
    Penstock's core is built from Rust #{oldest} or newer, and #{found}.
    Install it with `curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh`, or renew it with `rustup update stable && rustup default stable`, and compile again.
    """
  end

  defp build(cargo) do
    unless File.exists?(installed()),
      do: Mix.shell().info("Building Penstock's Rust core (some minutes the first time)")

    args = ["build", "--release", "--locked", "--quiet", "-p", @package]

    options = [
      cd: @root,
      stderr_to_stdout: true,
      env: [{"CARGO_TARGET_DIR", target()}, {"CARGO_BUILD_TARGET", nil}],
      into: IO.stream(:stdio, :line)
    ]

    case System.cmd(cargo, args, options) do
      {_, 0} ->
        if File.exists?(built()), do: :ok, else: {:error, elsewhere()}

      {_, status} ->
        {:error, "cargo could not build Penstock's core (exit status #{status}); what it said is above"}
    end
  end

  # A target named in a configuration file of cargo's has a folder of its own.
  defp elsewhere do
    "cargo has built Penstock's core, but not #{built()}; does a configuration of cargo's set build.target?"
  end

  # In a host project all environments share one folder, beside its other builds.
  defp target do
    cond do
      path = System.get_env("PENSTOCK_TARGET_DIR") -> Path.expand(path)
      host?() -> Path.join(Path.dirname(Mix.Project.build_path()), "penstock_native")
      true -> Path.join(@root, "_build/native")
    end
  end

  defp host?, do: Path.expand(Path.dirname(Mix.Project.build_path())) != Path.join(@root, "_build")

  defp install do
    File.mkdir_p!(Path.dirname(installed()))
    Mix.Project.build_structure()
    if same?(built(), installed()), do: {:noop, []}, else: replace(built(), installed())
  end

  defp replace(built, installed) do
    fresh = "#{installed}.#{System.pid()}"
    File.cp!(built, fresh)
    File.rename!(fresh, installed)
    {:ok, []}
  end

  defp built, do: Path.join([target(), "release", "lib#{@package}.#{extension()}"])

  defp installed, do: Path.join(@root, "priv/native/#{@package}.so")

  defp extension, do: if(match?({:unix, :darwin}, :os.type()), do: "dylib", else: "so")

  defp same?(one, other) do
    with {:ok, %{size: size}} <- File.stat(other), {:ok, %{size: ^size}} <- File.stat(one) do
      File.read!(one) == File.read!(other)
    else
      _ -> false
    end
  end
end
