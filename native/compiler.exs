for part <- ~w(toolchain cargo library), do: Code.require_file("#{part}.exs", __DIR__)

defmodule Mix.Tasks.Compile.PenstockNative do
  @moduledoc """
  Builds the Rust core with cargo, in release mode, and installs the library for `Penstock.Native`.

  Cargo decides what is to be rebuilt; without a change it is asked and answers in a moment.
  """

  use Mix.Task.Compiler

  alias Penstock.Build.{Cargo, Library, Toolchain}

  @root Path.expand("..", __DIR__)
  @package "penstock_nif"

  @impl Mix.Task.Compiler
  def run(_args) do
    with {:ok, cargo} <- Toolchain.cargo(),
         :ok <- writable(target()),
         :ok <- build(cargo),
         done when done in [:ok, :noop] <- Library.install(built()) do
      {done, []}
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
  def clean, do: File.rm_rf!(Path.dirname(Library.installed()))

  defp build(cargo) do
    options = [
      env: [{"CARGO_TARGET_DIR", target()}, {"CARGO_BUILD_TARGET", nil}],
      before_work: &Toolchain.linker/0,
      say: fn line -> Mix.shell().info(line) end
    ]

    with :ok <- Cargo.build(cargo, ["build", "--release", "--locked", "-p", @package], options) do
      if File.exists?(built()), do: :ok, else: {:error, elsewhere()}
    end
  end

  # A target named in a configuration file of cargo's has a folder of its own.
  defp elsewhere do
    "cargo has built Penstock's core, but not #{built()}; does a configuration of cargo's set build.target?"
  end

  # Before cargo has downloaded anything.
  defp writable(folder) do
    with :ok <- File.mkdir_p(folder),
         {:ok, %{access: access}} when access in [:read_write, :write] <- File.stat(folder) do
      :ok
    else
      reason ->
        why = if match?({:error, _}, reason), do: :file.format_error(elem(reason, 1)), else: "it is read-only"

        {:error,
         "Penstock's core cannot be built in #{folder}: #{why}. PENSTOCK_TARGET_DIR can name another folder."}
    end
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

  defp built, do: Path.join([target(), "release", "lib#{@package}.#{extension()}"])

  defp extension, do: if(match?({:unix, :darwin}, :os.type()), do: "dylib", else: "so")
end
