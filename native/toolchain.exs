defmodule Penstock.Build.Toolchain do
  @moduledoc """
  What a build needs of the machine: a cargo that is new enough, and a linker. An error names what to install.
  """

  @oldest_rust {1, 91, 0}

  @doc "A cargo that is new enough, from the PATH or from rustup's folder."
  @spec cargo :: {:ok, Path.t()} | {:error, String.t()}
  def cargo do
    # A shell that was open while rustup ran does not have its folder on the path yet, and may find an older cargo.
    found = Enum.filter([System.find_executable("cargo"), Path.join(cargo_home(), "bin/cargo")], &present?/1)

    case Enum.find(found, &(new_enough(&1) == :ok)) do
      nil -> {:error, missing(found)}
      path -> {:ok, path}
    end
  end

  @doc """
  Whether rustc will find what it links with: `cc` and the files of the C library.

  A linker of one's own, named to cargo or to rustc, is left to them.
  """
  @spec linker :: :ok | {:error, String.t()}
  def linker do
    cond do
      own_linker?() -> :ok
      cc = System.find_executable("cc") -> c_library(cc)
      true -> {:error, no_linker("there is none (`cc` is not on the PATH)", "gcc libc6-dev")}
    end
  end

  defp c_library(cc) do
    case System.cmd(cc, ["-print-file-name=crt1.o"], stderr_to_stdout: true) do
      # gcc answers with the bare name for a file that it does not find; macOS has none, and needs none.
      {"crt1.o\n", 0} ->
        if darwin?(), do: :ok, else: {:error, no_linker("#{cc} has no C library", "libc6-dev")}

      _ ->
        :ok
    end
  end

  defp no_linker(found, packages) do
    """
    Penstock's core is linked by a C compiler, and #{found}.
    Install one and compile again: on Debian and Ubuntu `apt-get update && apt-get install -y #{packages}`, on Fedora `dnf install gcc`, on macOS `xcode-select --install`.
    """
  end

  defp own_linker? do
    named? =
      Enum.any?(System.get_env(), fn {name, value} ->
        Regex.match?(~r/^CARGO_TARGET_.*_LINKER$/, name) or
          (name in ~w(RUSTFLAGS CARGO_ENCODED_RUSTFLAGS) and value =~ "linker")
      end)

    named? or Enum.any?(configurations(), &names_a_linker?/1)
  end

  # Where cargo looks for its configuration.
  defp configurations do
    folders = Enum.scan(Path.split(Path.expand("..", __DIR__)), &Path.join(&2, &1))

    for folder <- Enum.map(folders, &Path.join(&1, ".cargo")) ++ [cargo_home()],
        name <- ["config.toml", "config"],
        do: Path.join(folder, name)
  end

  defp names_a_linker?(file) do
    case File.read(file) do
      {:ok, text} -> text =~ ~r/^[^#]*linker/m
      {:error, _} -> false
    end
  end

  defp darwin?, do: match?({:unix, :darwin}, :os.type())

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
end
