defmodule Penstock.Application do
  @moduledoc false
  use Application

  alias Penstock.Native

  @impl Application
  def start(_type, _args) do
    case Code.ensure_loaded(Native) do
      {:module, Native} -> Supervisor.start_link([], strategy: :one_for_one, name: Penstock.Supervisor)
      {:error, _reason} -> {:error, {:rust_core_not_loaded, why(library())}}
    end
  end

  # Not asked of `Penstock.Native`: it is not there either.
  defp library, do: Application.app_dir(:penstock, "priv/native/penstock_nif.so")

  @doc false
  # Why the Rust core is not there; the VM tells no more than a call that failed.
  @spec why(library :: Path.t()) :: String.t()
  def why(library) do
    cond do
      archive = Enum.find(parents(library), &File.regular?/1) ->
        "the Rust core is a shared library, which the VM cannot load from inside an archive, and #{archive} is one (an " <>
          "escript?): build a release instead (mix release), or run the program with mix"

      not File.regular?(library) ->
        "there is no #{library}: it is built by mix compile, and belongs to what is deployed"

      true ->
        "#{library} cannot be loaded; the warning above says why. It has to be built on a system like this one: same kind of " <>
          "processor, and a C library that is no newer"
    end
  end

  defp parents(path) do
    path
    |> Stream.iterate(&Path.dirname/1)
    |> Stream.drop(1)
    |> Enum.take_while(&(&1 not in ["/", "."]))
  end
end
