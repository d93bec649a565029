// SPDX-License-Identifier: MIT
pragma solidity 0.8.34;

import {IContractWallet} from "src/Interfaces.sol";

/// An order as the venue's clients sign it; amounts have 6 decimals. `signature` is no part of what is signed.
struct Order {
    uint256 salt;
    address maker;
    address signer;
    uint256 tokenId;
    uint256 makerAmount;
    uint256 takerAmount;
    uint8 side;
    uint8 signatureType;
    uint256 timestamp;
    bytes32 metadata;
    bytes32 builder;
    bytes signature;
}

/// What an exchange tells of an order by its hash; nothing was filled where both are nothing.
struct OrderStatus {
    bool filled;
    uint256 remaining;
}

uint8 constant BUY = 0;
uint8 constant SELL = 1;
uint8 constant BY_CONTRACT_WALLET = 3;

/// @title What an order is: its hash, who signed it, and how much of it is filled.
abstract contract Orders {
    bytes32 private constant DOMAIN_TYPE_HASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME_HASH = keccak256("Polymarket CTF Exchange");
    bytes32 private constant ORDER_TYPE_HASH = keccak256(
        "Order(uint256 salt,address maker,address signer,uint256 tokenId,uint256 makerAmount,uint256 takerAmount,"
        "uint8 side,uint8 signatureType,uint256 timestamp,bytes32 metadata,bytes32 builder)"
    );
    bytes4 private constant SIGNED_BY_CONTRACT = IContractWallet.isValidSignature.selector;
    /// The larger half of the curve's order: each signature has a twin up there, which must not count as another one.
    uint256 private constant S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    bytes32 private immutable domainVersionHash;

    /// How much of its maker amount is gone, by the hash of the order.
    mapping(bytes32 orderHash => uint256 makerAmount) public filled;
    /// Whether all of it is filled, and what is left of one that is filled in part.
    mapping(bytes32 orderHash => OrderStatus) public orderStatus;
    /// Whether orders without any signature pass. A given signature is verified in either case.
    bool public unsignedAllowed;

    error InvalidOrder(bytes32 orderHash);
    error InvalidSignature(bytes32 orderHash);
    error Overfilled(bytes32 orderHash);

    constructor(string memory domainVersion) {
        domainVersionHash = keccak256(bytes(domainVersion));
    }

    /// The domain is computed at each call: the code may stand at an address where nobody deployed it.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPE_HASH, DOMAIN_NAME_HASH, domainVersionHash, block.chainid, address(this))
        );
    }

    /// The order's id at the venue: the EIP-712 digest under this exchange's domain.
    function hashOrder(Order calldata order) public view returns (bytes32) {
        bytes memory first = abi.encode(
            ORDER_TYPE_HASH, order.salt, order.maker, order.signer, order.tokenId, order.makerAmount, order.takerAmount
        );
        bytes memory second =
            abi.encode(order.side, order.signatureType, order.timestamp, order.metadata, order.builder);
        return keccak256(abi.encodePacked("\x19\x01", domainSeparator(), keccak256(bytes.concat(first, second))));
    }

    /// Fills `making` of the order's maker amount and says its hash and what it takes for that, rounded down.
    function _fill(Order calldata order, uint256 making) internal returns (bytes32 orderHash, uint256 taking) {
        orderHash = hashOrder(order);
        if (order.side > SELL || order.makerAmount == 0 || making == 0) revert InvalidOrder(orderHash);
        if (!_isSigned(order, orderHash)) revert InvalidSignature(orderHash);
        uint256 total = filled[orderHash] + making;
        if (total > order.makerAmount) revert Overfilled(orderHash);
        filled[orderHash] = total;
        orderStatus[orderHash] = OrderStatus(total == order.makerAmount, order.makerAmount - total);
        taking = making * order.takerAmount / order.makerAmount;
    }

    function _isSigned(Order calldata order, bytes32 orderHash) private view returns (bool) {
        if (order.signature.length == 0 && unsignedAllowed) return true;
        if (order.signatureType > BY_CONTRACT_WALLET) return false;
        if (order.signatureType == BY_CONTRACT_WALLET) {
            if (order.maker != order.signer || order.maker.code.length == 0) return false;
            return IContractWallet(order.maker).isValidSignature(orderHash, order.signature) == SIGNED_BY_CONTRACT;
        }
        // Types 1 and 2 are signed by the owner of a wallet: whose wallet that is, is not looked up here.
        if (order.signatureType == 0 && order.maker != order.signer) return false;
        return _recovered(orderHash, order.signature) == order.signer && order.signer != address(0);
    }

    function _recovered(bytes32 digest, bytes calldata signature) private pure returns (address) {
        if (signature.length != 65 || uint256(bytes32(signature[32:64])) > S_MAX) return address(0);
        return ecrecover(digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
    }
}
