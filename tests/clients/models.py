"""What programs ask for, as pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Address(BaseModel):
    street: str
    city: str


class Person(BaseModel):
    """A person, nested and with what may be left out."""

    name: str = Field(description="full name")
    age: int | None = None
    addresses: list[Address]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    """A union told by a field, and a tuple."""

    pet: Cat | Dog = Field(discriminator="kind")
    place: tuple[float, float]


class Node(BaseModel):
    """A tree."""

    name: str
    children: list[Node] = []


class Weather(BaseModel):
    """The weather somewhere."""

    city: str
    unit: Literal["celsius", "fahrenheit"] = "celsius"
