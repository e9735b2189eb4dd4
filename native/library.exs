defmodule Penstock.Build.Library do
  @moduledoc """
  Puts the library that cargo has built where `Penstock.Native` loads it from: `priv/native` of the application's own
  folder below `_build`. Nothing is written into the tree that the sources are in, which may be read-only.

  Symbols are left out, which are three quarters of its size; `PENSTOCK_KEEP_SYMBOLS=1` keeps them, for a debugger or
  a profiler. The library is replaced by renaming a finished copy into its place, so a VM that has the old one loaded
  keeps it.
  """

  @root Path.expand("..", __DIR__)
  @name "penstock_nif.so"

  @doc "Installs the library; `:noop` when it is there already."
  @spec install(Path.t()) :: :ok | :noop | {:error, String.t()}
  def install(built) do
    with {:ok, keep?} <- keep_symbols() do
      ready = if keep?, do: built, else: stripped(built)
      make_folder()
      if same?(ready, installed()), do: :noop, else: replace(ready, installed())
    end
  rescue
    error in [File.Error, File.CopyError, File.RenameError] ->
      {:error, "Penstock's library could not be installed: #{Exception.message(error)}"}
  end

  @doc "Where the library is loaded from."
  @spec installed :: Path.t()
  def installed, do: Path.join([priv(), "native", @name])

  defp priv, do: Path.join(Mix.Project.app_path(), "priv")

  defp keep_symbols do
    case System.get_env("PENSTOCK_KEEP_SYMBOLS", "") do
      none when none in ["", "0"] ->
        {:ok, false}

      "1" ->
        {:ok, true}

      other ->
        {:error, "PENSTOCK_KEEP_SYMBOLS takes 1 (keep symbols) or 0 (leave them out), not #{inspect(other)}"}
    end
  end

  defp make_folder do
    remove_earlier()
    if match?({:ok, _}, File.read_link(priv())) and not File.dir?(priv()), do: File.rm!(priv())
    File.mkdir_p!(Path.dirname(installed()))
  end

  # Earlier versions installed into the source tree, and mix links a priv folder that it finds there.
  defp remove_earlier do
    priv = Path.join(@root, "priv")
    native = Path.join(priv, "native")

    if File.ls(priv) == {:ok, ["native"]} and File.ls(native) == {:ok, [@name]} do
      with :ok <- File.rm(Path.join(native, @name)), :ok <- File.rmdir(native), do: File.rmdir(priv)
    end
  end

  # Kept beside what cargo built, and dated like it, so that it is made once for all environments.
  defp stripped(built) do
    stripped = built <> ".stripped"
    date = File.stat!(built).mtime

    if match?({:ok, %{mtime: ^date}}, File.stat(stripped)) do
      stripped
    else
      strip(built, stripped, date)
    end
  end

  defp strip(built, stripped, date) do
    fresh = "#{stripped}.#{System.pid()}"

    with tool when is_binary(tool) <- System.find_executable("strip"),
         {_, 0} <- System.cmd(tool, strip_args() ++ ["-o", fresh, built], stderr_to_stdout: true) do
      File.touch!(fresh, date)
      File.rename!(fresh, stripped)
      stripped
    else
      _ ->
        Mix.shell().info(
          "Penstock's library keeps its symbols: there is no `strip` that works (Debian: binutils)"
        )

        built
    end
  end

  defp strip_args, do: if(match?({:unix, :darwin}, :os.type()), do: ["-x"], else: ["--strip-unneeded"])

  defp replace(ready, installed) do
    fresh = "#{installed}.#{System.pid()}"
    File.cp!(ready, fresh)
    File.rename!(fresh, installed)
    :ok
  end

  defp same?(one, other) do
    with {:ok, %{size: size}} <- File.stat(other), {:ok, %{size: ^size}} <- File.stat(one) do
      File.read!(one) == File.read!(other)
    else
      _ -> false
    end
  end
end
