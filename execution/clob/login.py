"""Gets an account's API credentials: those that the venue made already, else new ones."""

from execution.clob.client import BAD_REQUEST, ClobClient
from execution.clob.credentials import ApiCredentials
from execution.hosts import HostDown, HostRefused
from execution.ports import Login, Signer


async def obtain_credentials(client: ClobClient, signer: Signer, *, address: str) -> ApiCredentials:
    """The credentials of the key with this address, which the caller keeps sealed.

    Derived first: to create refuses where there are some. Raises HostDown, HostRefused and SignerRefused.
    """
    login = Login(address=address, timestamp=client.timestamp())
    signature = await signer.sign_login(login, key=address)
    found = await client.derive_credentials(login, signature)
    if found is not None:
        return found
    try:
        return await client.create_credentials(login, signature)
    except HostRefused as refused:
        if refused.status != BAD_REQUEST:
            raise
    # Somebody else made them in between.
    found = await client.derive_credentials(login, signature)
    if found is None:
        raise HostDown("The venue neither gives nor makes credentials for this key.")
    return found
